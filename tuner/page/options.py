"""Options of the page, and its socket; nothing heavy is needed for them."""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets
import socket
import stat
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Optional

from envs.errors import DependencyError, OptionError, StorageError

_log = logging.getLogger(__name__)

#: The address that only this computer reaches.
LOOPBACK = "127.0.0.1"

#: Characters of a token: at least, where a file brings it; at most, wherever it is read.
LEAST_TOKEN, MOST_TOKEN = 16, 200

#: Connections that may wait to be accepted.
WAITING = 64


@dataclass(frozen=True)
class PageOptions:
    """The page in the browser.

    Attributes:
        page: show a page on this port of 127.0.0.1; the token that its form for limits needs is
            printed at the start.
        page_address: listen on another address; the page is sent as it is, without encryption, so
            that this needs --page-token-file, and nothing is shown without the token.
        page_token_file: a file that only you can read, with a token of 16 characters or more in
            place of the one that is printed.
    """

    page: Optional[int] = None
    page_address: str = LOOPBACK
    page_token_file: Optional[Path] = None

    def check(self) -> None:
        """Raise what is wrong with the options, before anything is opened.

        Raises:
            OptionError: an option is wrong, or is given without the one that it belongs to.
            DependencyError: a package of the extra is missing.
        """
        if self.page is None:
            if self.page_address != LOOPBACK or self.page_token_file is not None:
                raise OptionError(
                    "--page-address and --page-token-file belong to a page: add --page"
                )
            return
        if not 0 <= self.page < 1 << 16:
            raise OptionError(f"--page {self.page} must lie in 0..65535; 0 takes any free port")
        try:
            loopback = ipaddress.ip_address(self.page_address).is_loopback
        except ValueError:
            raise OptionError(
                f"--page-address {self.page_address!r:.80} is no address: give one of this computer"
                " in numbers, such as 192.168.1.20"
            ) from None
        if not loopback and self.page_token_file is None:
            raise OptionError(
                f"--page-address {self.page_address} can be reached from elsewhere: add"
                " --page-token-file, whose token whoever looks has to know"
            )
        for package in ("starlette", "uvicorn"):
            if find_spec(package) is None:
                raise DependencyError(f"{package} is not installed: pip install 'orin-tuner[page]'")

    def opened(self) -> OpenPage | None:
        """Return the page's socket and its token; None where no page is asked for.

        Raises:
            OptionError, DependencyError: see `check`; or the token's file cannot be used.
            StorageError: the port is taken.
        """
        self.check()
        if self.page is None:
            return None
        path = self.page_token_file
        token = secrets.token_urlsafe(LEAST_TOKEN) if path is None else token_of(path)
        address = ipaddress.ip_address(self.page_address)
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.page_address, self.page))
            listener.listen(WAITING)
        except OSError as error:
            listener.close()
            raise StorageError(
                f"port {self.page} of {self.page_address} cannot be used"
                f" ({error.strerror or error}): give another --page"
            ) from error
        listener.setblocking(False)
        port = listener.getsockname()[1]
        return OpenPage(listener, self.page_address, port, token, shown=path is None)


@dataclass(frozen=True)
class OpenPage:
    """A page that listens, and is not served yet.

    Attributes:
        listener: its socket.
        address: of the socket, in numbers.
        port: of the socket.
        token: changes limits; and shows the page, where others than this computer can reach it.
        shown: True if the token is to be printed.
    """

    listener: socket.socket
    address: str
    port: int
    token: str
    shown: bool

    @property
    def url(self) -> str:
        """Return where the page is."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}/"

    def announce(self, changes_limits: bool) -> None:
        """Say where the page is, and what its token is, on standard error."""
        _log.info("%s", self._words(changes_limits))

    def _words(self, changes_limits: bool) -> str:
        loopback = ipaddress.ip_address(self.address).is_loopback
        words = f"the page is at {self.url}"
        if not self.shown:
            return (
                words
                + "; its token is that of --page-token-file"
                + ("" if loopback else ", and travels without encryption")
            )
        return words + (f"; token to change limits: {self.token}" if changes_limits else "")


def token_of(path: Path) -> str:
    """Return the token in a file that nobody else can read.

    Raises:
        OptionError: the file cannot be read, others can read it, or its token is too short.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            content = file.read(MOST_TOKEN + 2) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise OptionError(
            f"--page-token-file {path} cannot be read: {error.strerror or error}"
        ) from error
    if mode & 0o077:
        raise OptionError(f"--page-token-file {path} can be read by others: chmod 600 {path}")
    token = content.strip()
    if not LEAST_TOKEN <= len(token) <= MOST_TOKEN or not token.isascii() or len(token.split()) > 1:
        raise OptionError(
            f"--page-token-file {path} needs one token of {LEAST_TOKEN} to {MOST_TOKEN} characters,"
            " such as `openssl rand -hex 16` makes"
        )
    return token.decode()
