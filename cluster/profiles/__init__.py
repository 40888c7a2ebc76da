"""What a node can serve: fronts of the configurations of each network, with their origin."""

from cluster.profiles.points import (
    Point,
    answer_profile,
    front,
    loss_beside_others,
    node_kind,
    replayed_profile,
    simulated_profile,
)

__all__ = [
    "Point",
    "answer_profile",
    "front",
    "loss_beside_others",
    "node_kind",
    "replayed_profile",
    "simulated_profile",
]
