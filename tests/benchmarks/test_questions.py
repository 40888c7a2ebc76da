"""The questions of docs/model.md: their files, and what stands in their tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import questions, questions_batches, questions_boards, questions_dlas
from benchmarks.figures import ROOT
from benchmarks.questions_instances import COUNTS, scaling
from benchmarks.questions_setup import Setting, answers, host_share, rows_of, span
from benchmarks.results_page import between_marks
from envs.simulator.response import Response

NAMES = ("second_instance", "dla", "batch", "boards")
RESNET = Setting("agx_orin_64", "MAXN", "resnet50")


def stand_in(rate: list[float], power: list[float]) -> Response:
    """Return a response with these rates and powers, and latencies of one image at a time."""
    ips, watts = np.array(rate)[:, None], np.array(power)[:, None] * [0.5, 0.3, 0.2]
    return Response(ips, 1e3 / ips, 1e3 / ips, watts, np.zeros(len(rate), dtype=bool))


def test_the_command_writes_the_plots_and_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = "".join(f"<!-- {name}: begin -->\nold\n<!-- {name}: end -->\n" for name in NAMES)
    (tmp_path / "model.md").write_text(f"# Title\n{marks}end\n")
    assert questions.main(["--plots", str(tmp_path)]) == 0
    printed, page = capsys.readouterr().out, (tmp_path / "model.md").read_text()
    for name in NAMES:
        drawing = (tmp_path / f"{name}.svg").read_text()
        assert "simulated" in drawing
        assert ("published" in drawing) == (name != "boards")
        assert len(drawing) < 150_000
    assert "old" not in page
    assert page.startswith("# Title\n")
    assert page.endswith("end\n")
    assert page.count("\n\n| simulated") == len(NAMES)
    assert "- Published, contexts of YOLO networks" in page
    assert "Published, contexts of YOLO networks" in printed


def test_a_page_without_an_end_mark_keeps_its_text() -> None:
    whole = "a <!-- x: begin -->old<!-- x: end --> b"
    assert between_marks(whole, "x", "new") == "a <!-- x: begin -->\n\nnew\n\n<!-- x: end --> b"
    cut = "a <!-- x: begin -->old, and all that follows"
    assert between_marks(cut, "x", "new") == cut


def test_the_page_shows_every_question() -> None:
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    for name in NAMES:
        _, _, rest = page.partition(f"<!-- {name}: begin -->")
        assert "| --- |" in rest.partition(f"<!-- {name}: end -->")[0]
        assert f"({name}.svg)" in page
        assert (ROOT / "docs" / f"{name}.svg").stat().st_size < 150_000


def test_what_engines_add_is_relative_to_the_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = stand_in([100.0, 150.0, 200.0, 120.0], [10.0, 12.0, 16.0, 6.0])
    monkeypatch.setattr(questions_dlas, "answers", lambda *_: found)
    gained = questions_dlas.gains(RESNET, (1, 1), (1, 1))
    assert gained.rate == pytest.approx(
        {"gpu": 1.0, "gpu+dla0": 1.5, "gpu+dla0+dla1": 2.0, "dla0+dla1": 1.2}
    )
    assert gained.per_joule == pytest.approx(  # 10, 12.5, 12.5 and 20 images per joule
        {"gpu": 1.0, "gpu+dla0": 1.25, "gpu+dla0+dla1": 1.25, "dla0+dla1": 2.0}
    )


def test_the_gain_of_a_batch_is_relative_to_batch_1(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = [100.0, 150.0, 200.0, 240.0, 250.0, 260.0, 270.0]
    monkeypatch.setattr(questions_batches, "answers", lambda *_: stand_in(rate, rate))
    assert questions_batches.batches(RESNET).gain(16) == pytest.approx(2.5)


def test_the_share_of_waiting_is_what_queueing_ahead_saves() -> None:
    ahead = answers(Setting("agx_orin_64", "MAXN", "resnet50", "trtexec"), [{"tensor": (1, 1)}])
    waiting = answers(RESNET, [{"tensor": (1, 1)}])
    saved = 1 - waiting.throughput_ips[0, 0] / ahead.throughput_ips[0, 0]
    assert host_share(RESNET) == pytest.approx(saved, abs=0.01)


def test_a_second_instance_gains_no_more_than_the_waiting() -> None:
    for software in ("trtexec", "tensorrt", "pytorch"):
        found = scaling(Setting("orin_nano_8", "MAXN_SUPER", "resnet50", software))
        filled = 1 / (1 - found.host_share)
        assert found.rate[COUNTS.index(2)] <= 1.05 * filled
        # In a closed loop, N instances each take N over their total rate.
        np.testing.assert_allclose(found.mean, np.array(COUNTS) / found.rate, rtol=1e-3)


def test_published_engines_over_the_gpu_alone() -> None:
    """1069 and 1351 images/s over 981, at 29.7 and 20.5 W over 29.6 W."""
    found = questions_dlas.measured()
    assert found["gpu+dla0"] == pytest.approx((1.090, 1.086), abs=0.002)
    assert found["dla0+dla1"] == pytest.approx((1.378, 1.994), abs=0.002)


def test_published_contexts_are_flat() -> None:
    values = [row.value for row in rows_of("contexts", quantity="rate_gain")]
    assert len(values) >= 8
    assert 0.96 < min(values) <= max(values) < 1.08


def test_the_best_configuration_keeps_the_limits() -> None:
    most, frugal, thrifty = questions_boards.best("orin_nx_16", "MAXN_SUPER")
    assert frugal.power_w <= questions_boards.POWER_W < most.power_w
    assert most.rate_ips > frugal.rate_ips
    slack = 1 - questions_boards.SLACK
    assert thrifty.per_joule >= slack * max(most.per_joule, frugal.per_joule)
    assert "DLA" in most.engines


def test_spans() -> None:
    assert span([1.004, 2.0, 1.5]) == "1.00 to 2.00"
    assert span([1.001, 1.002]) == "1.00"
