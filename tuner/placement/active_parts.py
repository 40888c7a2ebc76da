"""The part that active tenants have in what is ready, and in what is known of the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from envs.runtimes.serving.news import News
from envs.runtimes.serving.readiness import Readiness
from envs.spec import Agreement, Agreements, Configuration, ConfigurationSpace, Place
from envs.spec.some_tenants import whole_configuration


class ActiveReadiness:
    """Tell what is ready for the active tenants [T'], by their own indices; see `Readiness`.

    Args:
        readiness: of all tenants.
        active: ascending indices [T'].
        total: T.
    """

    def __init__(self, readiness: Readiness, active: Sequence[int], total: int) -> None:
        self._readiness, self._active, self._total = readiness, tuple(active), total

    @property
    def version(self) -> int:
        """Return a number that grows with each change of what may serve."""
        return self._readiness.version

    @property
    def known(self) -> ConfigurationSpace:
        """Return the space without what cannot serve."""
        return self._readiness.known.of_tenants(self._active)

    @property
    def offered(self) -> ConfigurationSpace:
        """Return the space of what is ready."""
        return self._readiness.offered.of_tenants(self._active)

    @property
    def ready(self) -> frozenset[Place]:
        """Return the places that may serve."""
        return frozenset(self._own(self._readiness.ready))

    def places(self) -> list[Place]:
        """Return every place of the active tenants."""
        return self._own(self._readiness.places())

    def missing(self, configuration: Configuration) -> list[Place]:
        """Return the places of a configuration that are not ready."""
        whole = whole_configuration(configuration, self._active, self._total)
        return self._own(self._readiness.missing(whole))

    def built(self, place: Place) -> bool:
        """Return True if nobody has to wait for the build of this place's engine."""
        return self._readiness.built(place._replace(tenant=self._active[place.tenant]))

    def go_on(self, order: Iterable[Place]) -> None:
        """Make these places ready in the background, then all others, of other tenants too."""
        self._readiness.go_on([each._replace(tenant=self._active[each.tenant]) for each in order])

    def refresh(self) -> None:
        """Build engines of the present power mode in the background, if it is another one now."""
        self._readiness.refresh()

    def try_again(self) -> None:
        """Forget what was refused, so that it is tried again."""
        self._readiness.try_again()

    def news(self) -> list[News]:
        """Return what was found out since the last call; of other tenants it is not told."""
        return [
            each._replace(place=own)
            for each in self._readiness.news()
            for own in self._own([each.place])
        ]

    def _own(self, places: Iterable[Place]) -> list[Place]:
        position = {tenant: own for own, tenant in enumerate(self._active)}
        return [
            each._replace(tenant=position[each.tenant])
            for each in places
            if each.tenant in position
        ]


class ActiveAgreements(Mapping[tuple[int, int], Agreement]):
    """Agreements with FP32 of the active tenants, by their own indices; more may be added later.

    Args:
        agreements: of all tenants, by (tenant, accelerator).
        active: ascending indices [T'].
    """

    def __init__(self, agreements: Agreements, active: Sequence[int]) -> None:
        self._agreements, self._active = agreements, tuple(active)

    def __getitem__(self, pair: tuple[int, int]) -> Agreement:
        tenant, accelerator = pair
        if not 0 <= tenant < len(self._active):
            raise KeyError(pair)
        return self._agreements[self._active[tenant], accelerator]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for tenant, accelerator in self._agreements:
            if tenant in self._active:
                yield self._active.index(tenant), accelerator

    def __len__(self) -> int:
        return sum(1 for _ in self)
