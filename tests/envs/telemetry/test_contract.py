"""Every sensor passes the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.telemetry.ina3221 import Ina3221Sensor
from envs.telemetry.none import NoSensor
from envs.telemetry.nvml import NvmlSensor
from envs.telemetry.protocol import Sensor
from envs.telemetry.rapl import RaplSensor
from envs.testing.sensor_contract import SensorContract
from tests.envs.telemetry import nvml_library, trees
from tests.envs.telemetry.jtop_service import jtop_sensor


class TestIna3221(SensorContract):
    @pytest.fixture(params=["agx_orin_jetpack5", "agx_orin_jetpack6", "orin_nx"])
    def sensor(self, request: pytest.FixtureRequest, tmp_path: Path) -> Sensor:
        return Ina3221Sensor(getattr(trees, request.param)(tmp_path))


class TestJtop(SensorContract):
    @pytest.fixture
    def sensor(self, tmp_path: Path, request: pytest.FixtureRequest) -> Sensor:
        return jtop_sensor(tmp_path, request)


class TestRapl(SensorContract):
    moves = False

    @pytest.fixture
    def sensor(self, tmp_path: Path) -> Sensor:
        trees.package(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
        return RaplSensor(tmp_path)


class TestNvml(SensorContract):
    @pytest.fixture
    def sensor(self, monkeypatch: pytest.MonkeyPatch) -> Sensor:
        nvml_library.install(monkeypatch, counts=True)
        return NvmlSensor()


class TestNoSensor(SensorContract):
    @pytest.fixture
    def sensor(self) -> Sensor:
        return NoSensor()
