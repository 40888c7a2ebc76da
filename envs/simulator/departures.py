"""Engines that are faster or slower than their layers say."""

from dataclasses import replace

import numpy as np

from envs.arrays import FloatArray
from envs.simulator.positions import EDGE_TPUS, POSITIONS
from envs.simulator.tables import COSTS, DLA, Contexts


def departed(contexts: Contexts, normals: FloatArray, spread: float | FloatArray) -> Contexts:
    """Return contexts in which every engine is faster or slower by a factor of its own.

    An engine of a mapping runs kernels that those of whole networks run, and departs as they do.

    Args:
        contexts: C contexts.
        normals: [2, C, T, X, Z] standard normal numbers, for the GPU's part and the DLA's, without
            the positions of mappings.
        spread: standard deviation of the logarithm of the factor, or [X, 1] of them.
    """
    on_gpu, on_dla = np.exp(spread * normals)
    for factor in (on_gpu, on_dla):  # both DLA cores run the same engine, and so do Edge TPUs
        for same in (DLA, EDGE_TPUS):
            factor[:, :, same] = factor[:, :, same][:, :, :1]
    if contexts.layout.mapped:
        share = contexts.part_share  # [C, T, mappings, P, Z]
        first, last = POSITIONS, POSITIONS + share.shape[3] - 2
        parts = np.concatenate([on_gpu[:, :, :2], on_gpu[:, :, first:last]], axis=2)
        of_gpu = (share * parts[:, :, None]).sum(axis=3)
        of_dla = on_dla[:, :, DLA.start : DLA.start + 1] + 0 * of_gpu
        on_gpu, on_dla = (
            np.concatenate([each[:, :, :last], of_mappings, each[:, :, last:]], axis=2)
            for each, of_mappings in ((on_gpu, of_gpu), (on_dla, of_dla))
        )
    table = contexts.table.copy()
    for name, factor in (
        ("gpu_s", on_gpu),
        ("exclusive_s", on_gpu),
        ("gpu_j", on_gpu),
        ("dla_s", on_dla),
        ("cv_j", on_dla),
    ):
        table[COSTS.index(name)] *= factor
    return replace(contexts, table=table)
