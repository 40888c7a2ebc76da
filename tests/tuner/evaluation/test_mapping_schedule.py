"""The schedule of several networks as lanes."""

from __future__ import annotations

import re

from tests.tuner.evaluation.small_costs import small_costs
from tests.tuner.evaluation.test_report import read
from tuner.evaluation.mapping_schedule import schedule_section
from tuner.placement.schedules import schedule_of
from tuner.placement.schedules_data import NO_CONTENTION, Together

TOGETHER = Together((small_costs("a<b>"), small_costs("c")), NO_CONTENTION)
TENSOR, DLA, CUDA = 0, 1, 2


def test_groups_stand_where_they_run_and_names_are_text() -> None:
    # 0.5 + 1 + 1 + 2 + 1 + 0.1 = 5.6 ms on the GPU; 6 ms and more beside it on the DLA.
    schedule = schedule_of(TOGETHER, ((TENSOR,) * 4, (DLA, DLA, DLA, TENSOR)))
    section = schedule_section(("a<b>", "c"), schedule, None, "all is done")
    reader = read(section)
    assert "All is done." in reader.text
    assert "a<b> (tensor) is done after" in reader.text
    lanes = re.findall(r'<div class="lane"><span>(\w+)</span><div>(.*?)</div></div>', section)
    assert [name for name, _ in lanes] == ["gpu", "dla0"]
    assert [items.count("<i ") for _, items in lanes] == [5, 3]
    first = re.search(r'title="a&lt;b&gt;, group 0 on tensor: 0.000 to 1.500 ms"', section)
    assert first is not None


def test_both_schedules_have_one_scale() -> None:
    mapped = schedule_of(TOGETHER, ((TENSOR,) * 4, (DLA, DLA, DLA, TENSOR)))
    whole = schedule_of(TOGETHER, ((TENSOR,) * 4, (CUDA,) * 4))
    section = schedule_section(("a", "c"), mapped, whole, "said")
    ends = [
        float(left) + float(width)
        for left, width in re.findall(r"left:([\d.]+)%;width:([\d.]+)%", section)
    ]
    assert max(ends) > 99.99
    assert len(ends) == 16
    assert mapped.makespan_s < whole.makespan_s
