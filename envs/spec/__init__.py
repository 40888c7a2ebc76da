"""The words of the project as data: devices, networks, workloads, spaces, measurements, limits."""

from envs.spec.agreement import (
    CLASSES,
    COSINE,
    EQUAL,
    NOT_MEASURED,
    UNCALIBRATED,
    Agreement,
    Agreements,
    below_limit,
    narrowed,
    with_agreement,
)
from envs.spec.arrivals import KEPT_UP, at_mean_arrivals, keeping_up
from envs.spec.checks import MAX_BATCH
from envs.spec.criticality import Criticality, parse_criticality
from envs.spec.device import (
    ACCELERATORS,
    Accelerator,
    DeviceSpec,
    Kind,
    accelerator,
    available_cores,
    local_computer,
    processor_name,
)
from envs.spec.goal import Goal
from envs.spec.hardware import Hardware
from envs.spec.judging import (
    MAX_VIOLATION,
    judge_measurement,
    log_score,
    margins,
    rank,
    signs,
    verdict_of,
    worst_margin,
)
from envs.spec.mapping import Mapping
from envs.spec.measurement import (
    ConfigurationFailed,
    Failure,
    FailureKind,
    Measurement,
    MeasurementBatch,
    Origin,
    Outcome,
    Place,
    TenantMeasurement,
)
from envs.spec.network import Network, TensorSpec
from envs.spec.objective import Objective, Objectives, parse_goal
from envs.spec.space import Configuration, ConfigurationSpace
from envs.spec.workload import Tenant, Workload, fair_weights, workload_of

__all__ = [
    "ACCELERATORS",
    "CLASSES",
    "COSINE",
    "EQUAL",
    "KEPT_UP",
    "MAX_BATCH",
    "MAX_VIOLATION",
    "NOT_MEASURED",
    "UNCALIBRATED",
    "Accelerator",
    "Agreement",
    "Agreements",
    "Configuration",
    "ConfigurationFailed",
    "ConfigurationSpace",
    "Criticality",
    "DeviceSpec",
    "Failure",
    "FailureKind",
    "Goal",
    "Hardware",
    "Kind",
    "Mapping",
    "Measurement",
    "MeasurementBatch",
    "Network",
    "Objective",
    "Objectives",
    "Origin",
    "Outcome",
    "Place",
    "Tenant",
    "TenantMeasurement",
    "TensorSpec",
    "Workload",
    "accelerator",
    "at_mean_arrivals",
    "available_cores",
    "below_limit",
    "fair_weights",
    "judge_measurement",
    "keeping_up",
    "local_computer",
    "log_score",
    "margins",
    "narrowed",
    "parse_criticality",
    "parse_goal",
    "processor_name",
    "rank",
    "signs",
    "verdict_of",
    "with_agreement",
    "workload_of",
    "worst_margin",
]
