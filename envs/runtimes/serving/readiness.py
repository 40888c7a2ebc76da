"""Decide which instances may serve: engines are built, judged and proven, each once.

The start needs one engine. The others are made ready in the background while it serves, or when a
configuration asks for them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from envs.runtimes.serving.acceptance import Acceptance
from envs.runtimes.serving.engine import BuildingFactory, Progress
from envs.runtimes.serving.news import News
from envs.runtimes.serving.places import (
    all_places,
    describe_place,
    first_places,
    places_of,
    without_places,
)
from envs.runtimes.serving.renewals import Renewals
from envs.runtimes.serving.turns import Turns
from envs.spec import (
    Agreement,
    Agreements,
    Configuration,
    ConfigurationFailed,
    ConfigurationSpace,
    Failure,
    FailureKind,
    Place,
)

#: Engines that took longer than this are worth a line.
WORTH_TELLING_S = 2.0

#: The kind of failure of an engine that is right but does not fit beside what is loaded: a DLA core
#: holds 16 loadables.
FULL = FailureKind.INVALID


class Readiness:
    """Makes places ready: (tenant, accelerator, batch) with an engine that gives right answers.

    Thread-safe. One place is made ready at a time, by the thread that asks or in the background.

    Args:
        space: of everything that may serve.
        factory: builds and loads the engines.
        judge: compares the engine of a place with FP32.
        limit: the least agreement.
        each_batch: whether each batch size is another engine; else one proof counts for all.
        show: gets the progress of builds.

    Attributes:
        agreements: with FP32, by (tenant, accelerator); more are added while places are judged.
        version: a number that grows with each change of what may serve.
    """

    def __init__(
        self,
        space: ConfigurationSpace,
        factory: BuildingFactory,
        judge: Callable[[Place], Agreement],
        limit: float,
        each_batch: bool = True,
        show: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._space, self._factory = space, factory
        self._each_batch = each_batch
        self._lock, self._turns = threading.Lock(), Turns(show)
        self._acceptance = Acceptance(space, factory, judge, limit, self._turns.progress)
        self._renewals = Renewals(self._acceptance)
        self._ready: set[Place] = set()
        self._refused: dict[Place, Failure] = {}
        self._news: deque[News] = deque()
        self._queue: deque[Place] = deque()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._active = False  # whether the thread will look at the queue again
        self.agreements: Agreements = MappingProxyType(self._acceptance.found)
        self.version = 0

    @property
    def known(self) -> ConfigurationSpace:
        """Return the space without what cannot serve; what is not ready yet counts as possible."""
        return self._without(self._refused)

    @property
    def offered(self) -> ConfigurationSpace:
        """Return the space of what is ready."""
        return self._without(set(self.places()) - self._ready)

    @property
    def ready(self) -> frozenset[Place]:
        """Return the places that may serve."""
        return frozenset(self._ready)

    @property
    def refused(self) -> Mapping[Place, Failure]:
        """Return why places cannot serve."""
        return MappingProxyType(self._refused)

    def places(self) -> list[Place]:
        """Return every place of the space: the smallest batches first, DLAs last."""
        return all_places(self._space)

    def firsts(self) -> list[Place]:
        """Return one place of each pair: its smallest batch."""
        return first_places(self._space)

    def leave_out(self, pairs: Collection[tuple[int, int]]) -> None:
        """Build nothing for these (tenant, accelerator), and offer none of their batch sizes."""
        with self._lock:
            self._space = replace(self._space, unavailable=self._space.unavailable.union(pairs))
            for place in [each for each in self._refused if each[:2] in pairs]:
                del self._refused[place]
            self.version += 1

    def missing(self, configuration: Configuration) -> list[Place]:
        """Return the places of a configuration that are not ready."""
        return [place for place in places_of(configuration) if place not in self._ready]

    def built(self, place: Place) -> bool:
        """Return True if nobody has to wait for the build of this place's engine."""
        return place in self._ready or self._factory.built(*place)

    def busy_since(self, start_s: float) -> bool:
        """Return True if something was built or proven after `start_s`, on the monotonic clock."""
        return self._turns.busy_since(start_s)

    def while_waiting(self, call: Callable[[], None]) -> None:
        """Call this every few seconds in a thread that waits for an engine it has asked for.

        What it raises ends the wait, and the build if that thread began it.
        """
        self._turns.waiting = call

    def make_ready(self, place: Place) -> None:
        """Build, judge and prove a place, unless that has been done.

        Raises:
            ConfigurationFailed: it cannot serve; the reason is kept, so that nothing is tried
                again.
        """
        if place in self._ready:  # what serves does not wait for the build of something else
            return
        with self._turns.one():
            if place in self._ready:
                return
            if place in self._refused:
                raise ConfigurationFailed(self._refused[place])
            began_s = time.monotonic()
            try:
                self._acceptance.make(place)
            except Exception as error:  # the errors of drivers have no common base
                failure = self._acceptance.failure(error, place)
                with self._lock:
                    for each in [place] if self._each_batch else self._of_pair(place):
                        self._refused[each] = failure
                    self._tell(News(False, place, failure.reason, not self._turns.in_background))
                raise ConfigurationFailed(failure) from error
            finally:
                self._turns.worked()
            with self._lock:
                self._ready |= {place} if self._each_batch else set(self._of_pair(place))
                took_s = time.monotonic() - began_s
                text = f"{self.describe(place)} is ready after {took_s:.0f} s"
                self._tell(News(True, place, text) if took_s > WORTH_TELLING_S else None)

    def go_on(self, order: Iterable[Place]) -> None:
        """Make these places ready in the background, in this order, and then all others."""
        with self._lock:
            self._queue = deque(dict.fromkeys([*order, *self.places()]))
            begin = not (self._active and self._thread is not None and self._thread.is_alive())
            self._active = True
        if begin:
            self._thread = threading.Thread(target=self._work, name="engines", daemon=True)
            self._turns.background = self._thread
            self._thread.start()

    def try_again(self) -> None:
        """Forget what was refused, so that it is tried again."""
        with self._lock:
            again = list(self._refused)
            self._refused.clear()
            self.version += 1
        if self._thread is not None and again:
            self.go_on(again)

    def left(self, places: Iterable[Place]) -> None:
        """Forget refusals for a full accelerator where instances have left it.

        Args:
            places: of instances that serve no more.
        """
        resources = {self._resource(place) for place in places}
        with self._lock:
            again = [
                place
                for place, failure in self._refused.items()
                if failure.kind is FULL and self._resource(place) in resources
            ]
            for place in again:
                del self._refused[place]
            self.version += bool(again)
        if self._thread is not None and again:
            self.go_on(again)

    def refresh(self) -> None:
        """Build engines of the present power mode in the background, if it is another one now."""
        changed = getattr(self._factory, "refresh_host", None)
        if changed is not None and changed():
            self._renewals.again()
            self.go_on(())

    def outdated(self) -> frozenset[Place]:
        """Return the places that got another engine since the last call.

        Instances that were created before keep theirs.
        """
        with self._lock:
            return self._renewals.outdated()

    def news(self) -> list[News]:
        """Return what was found out since the last call."""
        with self._lock:
            told, self._news = list(self._news), deque()
        return told

    def close(self) -> None:
        """Let the background end; a build that is under way is left to itself."""
        self._stopping.set()

    def describe(self, place: Place) -> str:
        """Return a place as text: `resnet50 on dla0 at batch 4`."""
        return describe_place(self._space, place)

    def _work(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                place = self._queue.popleft() if self._queue else None
            if place is not None:
                with contextlib.suppress(ConfigurationFailed):  # it is in the news
                    self.make_ready(place)
            elif (borrowed := self._next_borrowed()) is not None:
                self._renew(borrowed)
            else:
                with self._lock:
                    if not self._queue:  # more may have come since it was looked at
                        self._active = False
                        return

    def _next_borrowed(self) -> Place | None:
        """Return a place that is served by an engine of another power mode, or None."""
        return self._renewals.next_of(place for place in self.places() if place in self._ready)

    def _renew(self, place: Place) -> None:
        """Give a place that is served by an engine of another power mode one of its own."""
        with self._turns.one():
            failure = self._renewals.renew(place)
            text = f"{self.describe(place)} has an engine of the present power mode"
            if failure is not None:
                text = f"{failure.reason}; the engine of another power mode goes on serving"
            with self._lock:
                self._renewals.ended(place, failure)
                self._tell(News(True, place, text))
            self._turns.worked()

    def _tell(self, news: News | None) -> None:
        """Keep news, under the lock, and let the version grow."""
        self.version += 1
        if news is not None:
            self._news.append(news)

    def _resource(self, place: Place) -> str:
        return self._space.device.accelerators[place.accelerator].resource

    def _of_pair(self, place: Place) -> list[Place]:
        return [each for each in self.places() if each[:2] == place[:2]]

    def _without(self, places: Iterable[Place]) -> ConfigurationSpace:
        with self._lock:
            gone = list(places)
        return without_places(self._space, gone, self._factory.blocks)
