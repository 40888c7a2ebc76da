"""Accept an engine: it is built, its answers are judged, and it has run one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from envs.runtimes.serving.engine import BuildingFactory, Progress
from envs.runtimes.serving.instance import failure_of
from envs.runtimes.serving.judging import prove
from envs.runtimes.serving.places import placed
from envs.spec import (
    Agreement,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Place,
    below_limit,
)


class Acceptance:
    """Builds, judges and proves engines, one at a time.

    Args:
        space: of everything that may serve.
        factory: builds and loads the engines.
        judge: compares the engine of a place with FP32.
        limit: the least agreement.
        show: gets the progress of builds.

    Attributes:
        found: agreements with FP32, by (tenant, accelerator): each pair is judged once.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        factory: BuildingFactory,
        judge: Callable[[Place], Agreement],
        limit: float,
        show: Callable[[Progress], None],
    ) -> None:
        self._space, self._factory, self._judge = space, factory, judge
        self._limit, self._show = limit, show
        self.found: dict[tuple[int, int], Agreement] = {}

    def make(self, place: Place) -> None:
        """Build the engine of a place, and accept it.

        Raises:
            Exception: it cannot serve; the errors of drivers have no common base.
        """
        tenant, column, batch = place
        pair = (tenant, column)
        self._check_answers(pair)  # another batch size may have told already
        self._factory.build(tenant, column, batch, self._show)
        if pair in self.found or pair in self._space.unjudged:
            self.prove(place)
        else:
            self.found[pair] = self._judge(place)
            self._check_answers(pair)

    def prove(self, place: Place) -> None:
        """Run one batch on an engine of its own; raise whatever that raises."""
        tenant, column, batch = place
        engine = self._factory.load(tenant, column, self._space.device.cores)
        hung = False
        try:
            prove(engine, self._space.workload.tenants[tenant].network, batch)
        except TimeoutError:
            hung = True  # taking away memory that it works on would crash
            raise
        finally:
            if not hung:
                engine.close()

    def renew(self, place: Place) -> Failure | None:
        """Build and prove the engine of the present power mode; return why it cannot serve.

        The engine of another power mode then goes on serving, also new instances.
        """
        try:
            self._build_anew(place)
        except Exception as error:  # the errors of drivers have no common base
            return self.failure(error, place)
        return None

    def borrowed(self, place: Place) -> str:
        """Return the power mode of the engine that serves until the own one is there, or ""."""
        mode_of: Callable[[int, int, int], str] = getattr(
            self._factory, "borrowed", lambda *place: ""
        )
        return mode_of(*place)

    def failure(self, error: Exception, place: Place) -> Failure:
        """Return why a place cannot serve, for an error of `make` or `prove`."""
        if isinstance(error, ConfigurationFailed):
            found = error.failure
        else:
            late = isinstance(error, TimeoutError)
            kind = FailureKind.TIMED_OUT if late else FailureKind.BUILD_FAILED
            found = failure_of(error, "it cannot run one batch", kind)
        return placed(self._space, found, place)

    def _build_anew(self, place: Place) -> None:
        factory: Any = self._factory
        factory.renew(*place, self._show)
        try:
            self.prove(place)
        except Exception as error:
            failure = self.failure(error, place)
            # Memory may be there once the old engine has gone.
            if failure.kind is not FailureKind.OUT_OF_MEMORY:
                factory.keep_borrowed(*place, failure.reason)
            raise
        if self.borrowed(place):
            raise RuntimeError("the new engine could not be loaded")

    def _check_answers(self, pair: tuple[int, int]) -> None:
        """Raise ConfigurationFailed if the answers of a pair were found wrong."""
        found = self.found.get(pair)
        if found is not None and not found.keeps(self._limit):
            reason = below_limit(found, self._limit)
            raise ConfigurationFailed(Failure(FailureKind.WRONG_ANSWERS, reason))
