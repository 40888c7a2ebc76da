"""M/G/c with processor sharing: a front end that prepares requests on the cores of a node."""

import numpy as np

from cluster.queueing.sharing import classes
from envs.arrays import FloatArray


def front_end_s(service_s: FloatArray, rate_ips: FloatArray, cores: int = 1) -> FloatArray:
    """Return the mean time [...] of a request at a front end with c cores, in s.

    Up to c requests have a core each; more share them evenly. The number inside has the
    distribution of M/M/c whatever the sizes (Cohen, Acta Informatica 12, 1979), so that
    T = s (1 + C(c, a) / (c (1 - rho))), with a = rate times s, rho = a / c and Erlang's C. One core
    gives s / (1 - rho), which Ibis has (arXiv 2201.07312, with c = 1 in its released code).

    Args:
        service_s: [...] time of a request alone.
        rate_ips: [...] arrivals.
        cores: c, at least 1.

    Raises:
        ValueError: there is no core, or a time or a rate is negative or no number.
    """
    if cores < 1:
        raise ValueError(f"cores={cores} must be at least 1")
    service, rate = classes(service_s, rate_ips)
    idle = 1.0 - service * rate / cores
    open_ = idle > 0
    offered, idle = np.where(open_, service * rate, 0.0), np.where(open_, idle, 1.0)
    lost = np.ones_like(offered)  # Erlang's B, core by core: no power and no factorial grows large
    for number in range(1, cores + 1):
        lost = offered * lost / (number + offered * lost)
    waits = lost / (idle + (1.0 - idle) * lost)
    return np.where(open_, service * (1.0 + waits / (cores * idle)), np.inf)
