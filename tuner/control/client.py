"""The user's own program that brings the requests: a function in a thread of this process."""

from __future__ import annotations

import importlib
import inspect
import sysconfig
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from envs.errors import OptionError, one_line

#: A function that is called with `submit(network, inputs) -> Future` and serves until it is killed.
Client = Callable[[Callable[..., Any]], object]

#: Folders of code that is not the user's own: this project, Python and its packages.
_OTHERS = (
    Path(__file__).resolve().parents[1],
    Path(inspect.getfile(OptionError)).resolve().parent,
    *(Path(sysconfig.get_path(each)).resolve() for each in ("stdlib", "platstdlib", "purelib")),
)


class ClientThread:
    """Runs a client in a thread, and keeps its last words.

    Args:
        client: the function; it is called with `submit`.
        name: MODULE:FUNCTION, as the user gave it.

    Attributes:
        error: what the client raised, which may be a SystemExit; None if it returned.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.error: BaseException | None = None
        self._client, self._name = client, name
        self._ended = threading.Event()

    def start(self, submit: Callable[..., Any]) -> None:
        """Call the client in a thread that does not keep this process alive."""
        threading.Thread(target=self._run, args=(submit,), name="client", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Return True if the client has returned or raised: no more requests will come."""
        return self._ended.is_set()

    def ends_within(self, timeout_s: float) -> bool:
        """Wait; return True if the client ends meanwhile."""
        return self._ended.wait(timeout_s)

    def last_words(self) -> str:
        """Return how the client ended, such as `app:main ended: ValueError: no camera (...)`."""
        if self.error is None:
            return f"{self._name} ended: it returned"
        kind, place = type(self.error).__name__, place_of(self.error)
        text = one_line(self.error, 400)
        said = f"{kind}: {text}" if text != kind else kind
        return f"{self._name} ended: {said}{f' ({place})' if place else ''}"

    def _run(self, submit: Callable[..., Any]) -> None:
        try:
            self._client(submit)
        except BaseException as error:  # SystemExit ends a thread silently
            self.error = error
        finally:
            self._ended.set()


def place_of(error: BaseException) -> str:
    """Return `file:line` of the last line of the user's own code on the way to an error."""
    stack = traceback.walk_tb(error.__traceback__)
    frames = [(frame.f_code.co_filename, line) for frame, line in stack]
    own = [(name, line) for name, line in frames if _is_own(name)]
    return "".join(f"{name}:{line}" for name, line in own[-1:])


def _is_own(filename: str) -> bool:
    """Return False for this project, packages, and code of Python such as <frozen importlib>."""
    path = Path(filename).resolve()
    return path.is_file() and not any(path.is_relative_to(folder) for folder in _OTHERS)


def client_at(name: str) -> Client:
    """Import the function MODULE:FUNCTION.

    Raises:
        OptionError: it cannot be imported, or is no plain function; the message says why.
    """
    module, _, function = name.partition(":")
    try:
        found: Client = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(
            f"--client {name} cannot be found ({error}): give MODULE:FUNCTION that Python can"
            " import from here"
        ) from error
    except (Exception, SystemExit) as error:  # raised by the user's module itself
        place = place_of(error)
        raise OptionError(
            f"--client {name} cannot be imported ({type(error).__name__}: {one_line(error)}"
            f"{f', {place}' if place else ''}): correct the module"
        ) from error
    if not callable(found) or inspect.iscoroutinefunction(found):
        raise OptionError(
            f"--client {name} must be a plain function that is called with submit, not"
            f" {'a coroutine' if callable(found) else type(found).__name__}: give a function, which"
            " may call asyncio.run"
        )
    return found
