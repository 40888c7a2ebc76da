from __future__ import annotations

from pathlib import Path

import pytest

from envs.telemetry.power_mode import read_power_mode
from tests.envs.telemetry.trees import write

#: The form of NVIDIA's nvpmodel_p3701_0000.conf.
CONF = """# FORMAT:
# < POWER_MODEL ID=id_num NAME=mode_name >
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=2 NAME=MODE_30W >
CPU_ONLINE CORE_0 1
< PM_CONFIG DEFAULT=2 >
"""


@pytest.mark.parametrize(
    ("status", "conf", "expected"),
    [
        ("pmode:0002", CONF, "30W"),
        ("pmode:0000 fmode:quiet\n", CONF, "MAXN"),
        ("pmode:0003", CONF, "3"),
        ("pmode:0002", "", "2"),
        ("garbage", CONF, "unknown"),
        (None, CONF, "unknown"),
    ],
)
def test_the_mode_is_named_as_boards_are_described(
    tmp_path: Path, status: str | None, conf: str, expected: str
) -> None:
    (tmp_path / "var/lib/nvpmodel").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    if status is not None:
        (tmp_path / "var/lib/nvpmodel/status").write_text(status)
    (tmp_path / "etc/nvpmodel.conf").write_text(conf)
    assert read_power_mode(tmp_path) == expected


@pytest.mark.parametrize("name", ["17000000.ga10b", "17000000.gpu"])
def test_where_nvpmodel_is_not_visible_the_clock_that_it_allows_stands_for_the_mode(
    tmp_path: Path, name: str
) -> None:
    write(tmp_path / f"sys/class/devfreq/{name}/max_freq", 930_750_000)
    assert read_power_mode(tmp_path) == "930.75 MHz"
    write(tmp_path / f"sys/class/devfreq/{name}/max_freq", 306_000_000)  # it is hot
    assert read_power_mode(tmp_path) == "930.75 MHz"
    write(tmp_path / "var/lib/nvpmodel/status", "pmode:0002")
    assert read_power_mode(tmp_path) == "2"


def test_a_computer_without_power_modes(tmp_path: Path) -> None:
    assert read_power_mode(tmp_path) == "unknown"
