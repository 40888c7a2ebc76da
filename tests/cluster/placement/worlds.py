from cluster.placement.nodes import Application, Engine, Node, NodeKind, Place

#: Batches of `a` take 10 ms on the GPU and 20 ms on the DLA, those of `b` twice as long.
BOARD = NodeKind(
    "board",
    (Place("gpu", True), Place("dla0", False)),
    1000.0,
    {
        "a": (
            Engine("gpu", 1, 0.010, 100.0, energy_j=0.10),
            Engine("gpu", 4, 0.020, 110.0, energy_j=0.20),
            Engine("dla0", 1, 0.020, 100.0, energy_j=0.05),
        ),
        "b": (
            Engine("gpu", 1, 0.020, 300.0, energy_j=0.20),
            Engine("dla0", 1, 0.040, 300.0, energy_j=0.10),
        ),
    },
)
SMALL = NodeKind(
    "small", (Place("gpu", True),), 500.0, {"a": (Engine("gpu", 1, 0.040, 100.0, energy_j=0.2),)}
)


def boards(count: int, kind: NodeKind = BOARD) -> list[Node]:
    return [Node(f"node-{number}", kind) for number in range(count)]


def applications(count: int, network: str = "a", rate_ips: float = 20.0, limit_s: float = 0.2,
                 **more: int) -> list[Application]:  # fmt: skip
    return [
        Application(f"{network}-{number}", network, rate_ips, limit_s, **more)
        for number in range(count)
    ]
