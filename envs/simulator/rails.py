"""The power of instances in service by rail, and what the module's power limit allows."""

import numpy as np

from envs.arrays import Single
from envs.simulator.in_service import TINY, Batches, Scalars


def rails_and_share(full: Batches, rate: Single, scalars: Scalars) -> tuple[Single, Single]:
    """Return watts [3, B] by rail and the share [B] of the work that the power limit allows.

    Args:
        full: the batches in service.
        rate: [T, X, B] batches per second, if there were no limit.
        scalars: [B] each.
    """
    added_w = np.stack(
        [
            (rate * full.gpu_j).sum(axis=(0, 1)),
            (rate * full.cv_j).sum(axis=(0, 1)),
            (rate * (full.gpu_bytes + full.dla_bytes)).sum(axis=(0, 1)) * scalars["byte_j"],
        ]
    )
    idle_w = np.stack([scalars[f"idle_{rail}_w"] for rail in ("gpu", "cv", "sys")])
    busy = np.minimum(1, (rate * (full.host_s + full.gpu_s + full.dla_s)).sum(axis=(0, 1)))
    idle_w[0] += scalars["busy_soc_w"] * busy
    idle_w[2] += scalars["busy_sys_w"] * busy
    allowed_w = np.maximum(scalars["max_power_w"] - idle_w.sum(axis=0), 0.1)
    share = np.minimum(1, allowed_w / np.maximum(added_w.sum(axis=0), TINY))
    return idle_w + added_w * share, share
