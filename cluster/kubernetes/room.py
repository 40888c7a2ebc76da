"""Keep account of the room on nodes as they are now, old servers and new ones together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cluster.kubernetes.world import Placement, SeenApplication, SeenServer
from cluster.placement.nodes import Application, Node, NodeKind
from cluster.placement.state import ClusterState, Spot


class Room:
    """The nodes with every server that there is, and with those that are being made.

    Args:
        kinds: by name of the node, what it can do.
        servers: that there are, also those that are about to go.
        target: where applications should be.
    """

    def __init__(
        self, kinds: Mapping[str, NodeKind], servers: Sequence[SeenServer], target: ClusterState
    ) -> None:
        nodes = [Node(name, kinds[name]) for name in sorted(kinds)]
        self._number = {node.name: at for at, node in enumerate(nodes)}
        self._now = ClusterState(nodes, target.rules)
        for server in servers:
            self._add(self._now, server)
        self._wanted = ClusterState(nodes, target.rules)
        for name, spots in target.spots.items():
            self._wanted.add(target.applications[name], spots)

    def may_stay(self, server: SeenServer) -> bool:
        """Return True, and count it, if a server finds room beside all that should be there."""
        found = self._spot(server)
        if found is None:
            return False
        application, spot = found
        if not self._wanted.fits_at(application, spot.node)[spot.engine]:
            return False
        self._wanted.add(application, [spot])
        return True

    def take(self, application: SeenApplication, placement: Placement) -> bool:
        """Return True, and count it, if a new server finds room beside all that is there now."""
        assert application.spec is not None
        name = f"new/{application.key}/{placement.node}"
        asked = application.spec.application(name)
        number = self._number[placement.node]
        engine = self._engine(number, asked.network, placement)
        if engine is None or not self._now.fits_at(asked, number)[engine]:
            return False
        self._now.add(asked, [Spot(number, engine)])
        return True

    def memory_mib(self, application: SeenApplication, placement: Placement) -> float:
        """Return the memory that a server of an application takes at a placement."""
        assert application.spec is not None
        number = self._number[placement.node]
        kind = self._now.nodes[number].kind
        engine = self._engine(number, application.spec.network, placement)
        assert engine is not None
        return kind.engines[application.spec.network][engine].memory_mib + kind.front_end_mib

    def _engine(self, number: int, network: str, placement: Placement) -> int | None:
        engines = self._now.nodes[number].kind.engines.get(network, ())
        for at, engine in enumerate(engines):
            if (engine.place, engine.batch) == (placement.place, placement.batch):
                return at
        return None

    def _add(self, state: ClusterState, server: SeenServer) -> None:
        found = self._spot(server)
        if found is not None:
            state.add(found[0], [found[1]])

    def _spot(self, server: SeenServer) -> tuple[Application, Spot] | None:
        """Return a server as an application of its own; None where its node cannot judge it."""
        number = self._number.get(server.placement.node)
        if number is None or server.serves is None:
            return None
        engine = self._engine(number, server.serves.network, server.placement)
        if engine is None:
            return None
        name = f"{server.namespace}/{server.name}/{server.uid}"
        return server.serves.application(name), Spot(number, engine)
