"""The report on mappings: its structure, its numbers, and names that look like markup."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from envs.spec.mapping import Mapping
from tests.tuner.evaluation.small_costs import small_costs
from tests.tuner.evaluation.test_report import read
from tuner.evaluation.mapping_pieces import run_of
from tuner.evaluation.mapping_plot import front_plot
from tuner.evaluation.mapping_report import MappedPage, verdict, write_mapping_report

FRONT = ("tensor", "tensor_to_2_dla0_to_3_tensor", "dla0_to_3_tensor")


def page(costs=None, chosen=2, **more) -> MappedPage:
    costs = costs or small_costs()
    front = tuple(run_of(costs, Mapping.parse(name)) for name in FRONT)
    alone = tuple(run_of(costs, Mapping.parse(name)) for name in ("tensor", "cuda"))
    return MappedPage(costs, front, alone, chosen, {0.0: 0.4, 0.5: 0.28, 1.0: 0.0}, **more)


def text_of(tmp_path, *pages) -> str:
    return write_mapping_report(tmp_path / "map.html", pages, "agx_orin_64 (MAXN)").read_text()


def test_pieces_of_a_mapping_add_up_to_its_cost():
    costs = small_costs()
    run = run_of(costs, Mapping.parse("dla0_to_3_tensor"))
    assert (run.time_s, run.energy_j) == pytest.approx((6.85e-3, 22.2e-3))
    assert sum(piece.time_s for piece in run.pieces) == pytest.approx(run.time_s)
    assert sum(piece.energy_j for piece in run.pieces) == pytest.approx(run.energy_j)
    assert [piece.group for piece in run.pieces] == [0, 1, 2, None, 3, None]
    assert run.pieces[4].start_s == pytest.approx(5.75e-3)
    assert run.transitions == 1
    assert run.rate_ips == pytest.approx(2 / 6.85e-3)
    assert run.inference_j == pytest.approx(11.1e-3)


def test_tags_close_and_nothing_is_loaded(tmp_path):
    text = text_of(tmp_path, page())
    reader = read(text)
    assert "script" not in reader.tags
    assert not re.search(r"(src|href)=|https?:|url\(", text)
    assert "Simulated (model)" in reader.text


def test_a_strip_and_a_number_in_the_plot_for_each_member_of_the_front(tmp_path):
    text = text_of(tmp_path, page())
    for number, name in enumerate(FRONT, start=1):
        assert f"<b>{number}. {name}</b>" in text
    assert re.findall(r'class="number"[^>]*>(\d)<', text) == ["1", "2", "3"]
    assert len(re.findall(r'class="strip[ "]', text)) == 4  # tensor alone is a member, cuda is not
    assert text.count('class="strip chosen"') == 1


def test_numbers_are_those_of_the_costs(tmp_path):
    text = text_of(tmp_path, page())
    assert "<span>6.85 ms</span><span>11.1 mJ</span><span>292/s</span>" in text
    row = re.search(r"<tr><td>2</td>.*?</tr>", text)
    assert row
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", row[0])
    assert " ".join(cells) == "2 1 1 tensor dla0 dla0 2.0000 1.5000 5.0000 10.0000 1.5000 30.0000"
    assert re.findall(r'class="on"[^>]*>([\d.]+)<', row[0]) == ["1.5000", "1.5000"]
    last = re.search(r"<tr><td>3</td>.*?</tr>", text)
    assert last
    assert last[0].count("\N{EN DASH}") == 2
    assert "28.0 %" in text


def test_names_that_look_like_markup_are_text(tmp_path):
    name = '<script>alert(1)</script>"&'
    text = text_of(tmp_path, page(replace(small_costs(), network=name)))
    assert "<script" not in text
    reader = read(text)
    assert f"Layers of {name} on agx_orin_64 (MAXN)" in reader.text


def test_the_verdict_compares_with_the_fastest_and_the_thriftiest_accelerator():
    said = verdict(page(latency_ms=7.0))
    assert "dla0_to_3_tensor takes 6.85 ms and 11.1 mJ within 7 ms" in said
    assert "the fastest, tensor, takes 5.6 ms" in said
    assert "the thriftiest, tensor, 25.6 mJ" in said
    assert verdict(page(chosen=None, energy_mj=1.0)) == "No mapping of net stays within 1 mJ."


def test_limits_are_drawn_where_they_are():
    run = page().front[0]
    plot = front_plot((run,), (), 0, latency_ms=1e3 * run.time_s, energy_mj=1e3 * run.inference_j)
    dot = re.search(r'<svg x="([\d.%]+)" y="([\d.%]+)"[^>]*><g class="dot"', plot)
    lines = re.findall(r'class="limit" x1="([\d.%]+)" x2="[\d.%]+" y1="([\d.%]+)"', plot)
    assert dot
    assert lines[0][0] == dot[1]
    assert lines[1][1] == dot[2]


def test_an_accelerator_far_from_the_front_is_told_and_not_drawn(tmp_path):
    text = text_of(tmp_path, page())
    assert "Outside of the plot: cuda (20.6 ms, 121 mJ)." in text
    assert text.count('class="alone" x="-12"') == 1


def test_members_of_the_front_that_are_not_shown_are_counted(tmp_path):
    whole = tuple((run.time_s, run.inference_j) for run in page().front)
    for count, said in ((1, "A small dot is one more"), (2, "Small dots are 2 more members")):
        others = (*whole, *((1e-2 * number, 1e-3) for number in range(1, 1 + count)))
        assert said in read(text_of(tmp_path, page(others=others))).text
