"""Look, decide and act, again and again, until the controller is stopped."""

from __future__ import annotations

import logging
import math
import threading
import time

from cluster.kubernetes.act import act
from cluster.kubernetes.client import ApiError, Client, Unreachable
from cluster.kubernetes.decide import Settings, decide
from cluster.kubernetes.lease import Leadership, LeaseLost
from cluster.kubernetes.operator import Watches
from cluster.kubernetes.read import read_world

_log = logging.getLogger(__name__)

#: It looks again after so long even if nothing woke it, and never sooner than this [s].
LOOK_S, SHORTEST_S = 5.0, 0.3

#: Pauses while the API server does not answer [s].
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0


class Loop:
    """The controller at work.

    Args:
        client: to the API server.
        leadership: of this controller.
        settings: of decisions.
        namespace: that it looks after; empty for all.
        look_s: it looks again after so long even if nothing woke it.
    """

    def __init__(
        self,
        client: Client,
        leadership: Leadership,
        settings: Settings,
        namespace: str = "",
        look_s: float = LOOK_S,
    ) -> None:
        self._client, self._leadership, self._settings = client, leadership, settings
        self._namespace, self._look_s = namespace, look_s
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._watches = Watches(client.configuration, namespace, self.wake)
        self._said: set[str] = set()

    def wake(self) -> None:
        """Look again soon."""
        self._wake.set()

    def stop(self) -> None:
        """End `run` after the request that is under way."""
        self._stopped.set()
        self._wake.set()

    def run(self) -> None:
        """Work until `stop`, or until an exception of a signal ends it."""
        self._leadership.on_gained = self.wake
        self._leadership.start()
        pause_s = FIRST_PAUSE_S
        try:
            while not self._stopped.is_set():
                self._wake.clear()
                begun = time.monotonic()
                try:
                    within_s = self._once()
                    pause_s = FIRST_PAUSE_S
                except (ApiError, Unreachable) as error:
                    _log.warning("%s; it tries again in %.1f s", error, pause_s)
                    self._stopped.wait(pause_s)
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                    continue
                self._wake.wait(min(self._look_s, within_s))
                self._stopped.wait(max(SHORTEST_S - (time.monotonic() - begun), 0.0))
        finally:
            self._watches.stop()
            self._leadership.stop()

    def _once(self) -> float:
        """Look, decide and act once; a controller without the lease does nothing.

        Returns:
            After how long a decision changes although nothing else does.
        """
        if not self._leadership.held:
            return math.inf
        world = read_world(self._client, self._namespace)
        # Not before: kopf looks once, when it starts, for the kinds that there are.
        self._watches.start()
        plan = decide(world, self._settings)
        for remark in plan.remarks:
            if remark not in self._said:
                _log.warning("%s", remark)
        self._said = set(plan.remarks)
        try:
            if act(self._client, plan, world, self._leadership.check):
                self.wake()
        except LeaseLost:
            _log.warning("the lease is not held any more: another controller goes on")
        # A little later, so that the time is over then.
        return plan.within_s + SHORTEST_S
