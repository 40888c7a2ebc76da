"""Every search finds its way in spaces that nobody can list."""

from __future__ import annotations

import math
from functools import lru_cache

import pytest

from envs.catalog.boards import board_names
from envs.catalog.reference_networks import reference_network
from envs.problems.draw import described
from envs.problems.problem import Problem, problem_of
from envs.simulator.device_model import DeviceModel
from envs.simulator.machine import device_of, machine_of
from envs.spec.device import DeviceSpec, accelerator
from envs.spec.measurement import Measurement
from envs.spec.objective import Objective
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.workload import workload_of
from tests.tuner.search.worlds import measurement, run_search
from tuner.search.registry import SEARCHES, make_search
