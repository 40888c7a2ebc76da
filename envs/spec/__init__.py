"""The words of the project as data: devices, networks, workloads, spaces, measurements, limits."""

from envs.spec.agreement import CLASSES, COSINE, NOT_MEASURED, Agreement
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
from envs.spec.measurement import (
    ConfigurationFailed,
    Failure,
    FailureKind,
    Measurement,
    MeasurementBatch,
    Origin,
    Outcome,
    TenantMeasurement,
)
from envs.spec.network import Network, TensorSpec
from envs.spec.objective import (
    MAX_VIOLATION,
    Objective,
    Objectives,
    judge_measurement,
    log_score,
    margins,
    rank,
    verdict_of,
    worst_margin,
)
from envs.spec.space import MAX_BATCH, Configuration, ConfigurationSpace
from envs.spec.workload import Tenant, Workload, fair_weights, workload_of

__all__ = [
    "ACCELERATORS",
    "CLASSES",
    "COSINE",
    "MAX_BATCH",
    "MAX_VIOLATION",
    "NOT_MEASURED",
    "Accelerator",
    "Agreement",
    "Configuration",
    "ConfigurationFailed",
    "ConfigurationSpace",
    "DeviceSpec",
    "Failure",
    "FailureKind",
    "Kind",
    "Measurement",
    "MeasurementBatch",
    "Network",
    "Objective",
    "Objectives",
    "Origin",
    "Outcome",
    "Tenant",
    "TenantMeasurement",
    "TensorSpec",
    "Workload",
    "accelerator",
    "available_cores",
    "fair_weights",
    "judge_measurement",
    "local_computer",
    "log_score",
    "margins",
    "processor_name",
    "rank",
    "verdict_of",
    "workload_of",
    "worst_margin",
]
