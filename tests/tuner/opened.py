"""Devices that are opened with the samples of a trained network."""

from __future__ import annotations

from typing import Any

QUICK: dict[str, Any] = {"max_instances": 1, "batches": [1, 4], "cores": 1}
BOARD: dict[str, Any] = {"runtime": "simulated", "max_instances": 1, "batches": [1, 4]}

FP32, INT8 = (0, 0), (0, 1)
UNCALIBRATED = "INT8 needs samples to calibrate on: give --samples FILE, or --allow-uncalibrated"
