"""A few pretended boards."""

from __future__ import annotations

from cluster.kubernetes.decide import Settings
from cluster.kubernetes.objects import ServerOptions
from tests.cluster.kubernetes.pretended import Pretended

SETTINGS = Settings(ServerOptions(progress_s=100.0))


def small_cluster(nodes: int = 3) -> Pretended:
    cluster = Pretended()
    for number in range(nodes):
        cluster.node(f"node-{number}")
    return cluster
