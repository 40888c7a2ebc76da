"""Decide who may see the page and who may change limits."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

#: The cookie of those who may see a page that needs its token.
COOKIE = "orin_tuner_page"


@dataclass(frozen=True)
class Access:
    """The rules of one page.

    A name that a foreign site lets point to this computer (DNS rebinding) arrives as the Host of
    a request: only the names and addresses of the page itself are answered.

    Args:
        address: that the page listens on, in numbers.
        token: changes limits.

    Attributes:
        seen_by_all: True if whoever reaches the page may see it, which is only this computer.
        ticket: the value of the cookie of those who gave the token; another one after each start.
    """

    address: str
    token: str
    ticket: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def seen_by_all(self) -> bool:
        """Return True if the page needs no token to be seen."""
        return ipaddress.ip_address(self.address).is_loopback

    def knows_host(self, host: str) -> bool:
        """Return True if this is a name or an address of the page, with or without a port."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if self.seen_by_all:
            return name == "localhost" or _is_loopback(name)
        own = socket.gethostname().lower()
        if name in (own, f"{own}.local"):
            return True
        if ipaddress.ip_address(self.address).is_unspecified:
            return _literal(name) is not None  # a foreign name, never an address, is rebound
        return _literal(name) == ipaddress.ip_address(self.address)

    def same_site(self, headers: Mapping[str, str], changes: bool) -> bool:
        """Return True if the page itself sent the request, or the person who opened it.

        Args:
            headers: of the request, with names in small letters.
            changes: True if it changes something: then it has to name its origin.
        """
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is None:
            return not changes and site in ("none", "same-origin")
        return origin == f"http://{headers.get('host', '')}" and site in ("none", "same-origin")

    def knows_token(self, given: str) -> bool:
        """Return True if this is the token; the time that it takes tells nothing of it."""
        return secrets.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def may_see(self, cookies: Mapping[str, str]) -> bool:
        """Return True if whoever sends these cookies may see the page."""
        given = cookies.get(COOKIE, "")
        return self.seen_by_all or secrets.compare_digest(
            given.encode("utf-8", "replace"), self.ticket.encode()
        )


class Allowance:
    """Requests that are answered: so many a second, and so many at once after a pause.

    Args:
        rate: a second.
        most: at once.
        clock: returns seconds.
    """

    def __init__(
        self, rate: float, most: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._most, self._clock = rate, most, clock
        self._left, self._at_s = most, clock()

    def take(self) -> bool:
        """Take one; return False if none is left."""
        now_s = self._clock()
        self._left = min(self._most, self._left + self._rate * (now_s - self._at_s))
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _literal(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    found = _literal(name)
    return found is not None and found.is_loopback
