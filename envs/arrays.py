"""Array aliases and the shape letters that every docstring uses.

Letters, one meaning each in the whole project:

    B  rows of a batch: episodes, measurements, requests of one batch
    T  tenants                      A  accelerators
    K  knobs, T x A                 N  configurations
    M  candidates on a shortlist    P  candidates proposed to an agent, P <= M
    Q  quantities, 2 T + 1: log throughput of each tenant, log p99 of each, log power
    C  contexts: draws of what is uncertain about a device
    R  directions of a belief       S  problems of a batch
    V  variants of what is true     F  features
    G  extra features of a problem  H  hidden units
    O  options of a knob            L  layers of a network
    D  parameters of the model      Z  batch sizes
    X  positions of the model, 4: two on the GPU or the cores, two DLA cores
    Y  numbers that a recording holds
    I  groups of equal instances that serve one tenant's queue
    J  classes of requests at one place of a node
    E  nodes of a cluster           W  applications of a cluster
"""

from typing import Any

import numpy as np
import numpy.typing as npt

#: Configurations [N, T, A, 2]; the last axis is (instances, batch), (0, 0) where unused.
Placements = npt.NDArray[np.int16]

FloatArray = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]
#: Any floating-point precision.
Floats = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]
#: Row numbers, or any whole numbers that index.
Rows = npt.NDArray[np.int64]
#: Whole numbers of any width.
IntArray = npt.NDArray[np.integer]
#: One array a name: inputs or outputs of a network.
NamedArrays = dict[str, npt.NDArray[Any]]
