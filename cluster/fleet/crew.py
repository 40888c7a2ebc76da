"""Workers of Ray that do tasks; those that die are replaced, and their tasks done again."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from cluster.fleet.options import FleetOptions
from envs.errors import OptionError, RuntimeFault, one_line
from envs.optional import optional_import

_log = logging.getLogger(__name__)

#: Bytes of shared memory of a Ray that this process starts: an update has some 50 MB.
STORE_BYTES = 512 << 20

#: A worker that says nothing for so long is dead [s]: no task of a fleet takes minutes.
SILENCE_S = 600.0

#: The longest that a Ray may take to accept a connection [s].
ANSWER_S = 10.0

Task = TypeVar("Task", contravariant=True)
Result = TypeVar("Result", covariant=True)


class Work(Protocol[Task, Result]):
    """Does tasks, each the same wherever and however often it is done."""

    def __call__(self, common: Any, task: Task) -> Result:
        """Do a task.

        Args:
            common: what is the same for all tasks of one call.
            task: which one.
        """
        ...


class Crew(Generic[Task, Result]):
    """Workers that make the same thing at their start, and then do tasks with it.

    Args:
        make: makes the work, in each worker.
        options: how many workers, and how many may die in a row.
    """

    def __init__(self, make: Callable[[], Work[Task, Result]], options: FleetOptions) -> None:
        self._ray = optional_import("ray", "fleet")
        self._options = options
        self._make = self._ray.put(make)
        self._member = self._ray.remote(num_cpus=1, max_restarts=0)(_Member)
        self._members = [self._hired() for _ in range(options.workers)]
        self._starting: set[int] = set()
        self._deaths = 0  # in a row
        self.replaced = 0

    @property
    def members(self) -> Sequence[Any]:
        """Return the actors of Ray."""
        return tuple(self._members)

    def do(self, common: Any, tasks: Sequence[Task]) -> list[Result]:
        """Do all tasks and return the results in their order.

        Raises:
            RuntimeFault: workers die one after the other, or a task fails.
        """
        self._deaths = 0
        given = self._ray.put(common)
        waiting = deque(range(len(tasks)))
        running: dict[Any, tuple[int, int | None]] = {}
        results: dict[int, Result] = {}
        for each in self._starting:
            running[self._members[each].process.remote()] = (each, None)
        idle = deque(each for each in range(len(self._members)) if each not in self._starting)
        while len(results) < len(tasks):
            while waiting and idle:
                member, task = idle.popleft(), waiting.popleft()
                running[self._members[member].do.remote(given, tasks[task])] = (member, task)
            ready, _ = self._ray.wait(list(running), num_returns=1, timeout=SILENCE_S)
            for each in ready or list(running):
                member, done = running.pop(each)
                try:
                    result = self._ray.get(each, timeout=SILENCE_S if ready else 0)
                except self._lost() as error:
                    if done is not None:
                        waiting.appendleft(done)
                    self._replace(member, error)
                    # It may load its packages for a while: the others do the task meanwhile.
                    running[self._members[member].process.remote()] = (member, None)
                    continue
                except self._ray.exceptions.RayTaskError as error:
                    cause = error.cause if isinstance(error.cause, Exception) else error
                    sentence = f"a worker of the fleet failed: {one_line(cause)}"
                    raise RuntimeFault(sentence) from error
                self._starting.discard(member)
                idle.append(member)
                if done is not None:
                    results[done], self._deaths = result, 0
        return [results[each] for each in range(len(tasks))]

    def _lost(self) -> tuple[type[Exception], ...]:
        names = self._ray.exceptions
        return (names.RayActorError, names.WorkerCrashedError, names.GetTimeoutError)

    def _hired(self) -> Any:
        return self._member.remote(self._make)

    def _replace(self, member: int, error: Exception) -> None:
        self._deaths += 1
        self.replaced += 1
        if self._deaths > self._options.deaths:
            raise RuntimeFault(
                f"{self._deaths} workers of the fleet died in a row ({one_line(error)}): see to"
                " their memory and their boards; the same command goes on from here"
            ) from error
        _log.warning("a worker of the fleet died: another takes over what it was doing")
        with contextlib.suppress(Exception):  # it may be gone already
            self._ray.kill(self._members[member])
        self._members[member] = self._hired()
        self._starting.add(member)


class _Member:
    """One worker: an actor of Ray."""

    def __init__(self, make: Callable[[], Work[Any, Any]]) -> None:
        self._work = make()

    def do(self, common: Any, task: Any) -> Any:
        return self._work(common, task)

    def process(self) -> int:
        return os.getpid()


@contextlib.contextmanager
def ray_at(options: FleetOptions) -> Iterator[None]:
    """Connect to the Ray of the options, or start one on this computer, while the block lasts.

    Raises:
        OptionError: no Ray answers at the address.
    """
    # Workers run what `uv run` made without it; here they use this very environment.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    ray = optional_import("ray", "fleet")
    if options.address and options.address != "auto":
        check_port(options.address)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if options.address:
            ray.init(address=options.address, **quiet)
        else:
            ray.init(
                num_cpus=options.workers,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                **quiet,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OptionError(
            f"fleet.address={options.address}: no Ray answers there ({one_line(error)})"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def check_port(address: str) -> None:
    """Raise OptionError unless something listens there: Ray itself would ask for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise OptionError(
            f"fleet.address={address}: no Ray answers there ({one_line(error)}); give auto, or the"
            " HOST:PORT that ray start printed"
        ) from error
