"""What the page answers: the page itself, its events, and the form for limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from importlib.resources import files
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from envs.errors import TunerError
from tuner.charts.style import CHART_STYLE
from tuner.page.access import COOKIE, Access, Allowance
from tuner.page.hub import Hub
from tuner.page.layout import entrance, page_of, said
from tuner.page.stream import MOST_VIEWERS, EventStream

#: Requests that are answered: a second, and at once after a pause.
RATE, BURST = 40.0, 120.0

#: Bytes of the body of a request, and seconds in which it has to come.
MOST_BODY, BODY_S = 4096, 5.0

#: The one kind of body that is read: what the form sends, and no form of another kind.
FORM = "application/x-www-form-urlencoded"

#: Nothing comes from elsewhere, goes elsewhere, or runs that is not the page's own script.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # without any, a form would name no origin
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

#: What everybody may see: it says nothing of the service.
FILES = {
    "/page.js": "text/javascript",
    "/page.css": "text/css",
    "/icon.svg": "image/svg+xml",
}


class Guarded:
    """Let through what is neither too much nor from elsewhere, before anything else is done.

    Args:
        app: gets the requests that are let through.
        access: says who is from elsewhere.
        allowance: says what is too much.
    """

    def __init__(self, app: ASGIApp, access: Access, allowance: Allowance) -> None:
        self._app, self._access, self._allowance = app, access, allowance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if not self._allowance.take():
            await _refused(429, "too many requests: wait a second", {"retry-after": "1"})(
                scope, receive, send
            )
            return
        request = Request(scope)
        has_body = not {"content-length", "transfer-encoding"}.isdisjoint(request.headers.keys())
        refusal = self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def with_headers(message: object) -> None:
            assert isinstance(message, dict)
            if message["type"] == "http.response.start":
                own = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                if has_body:  # what comes of it after the answer is not read
                    own.append((b"connection", b"close"))
                message = message | {"headers": [*message.get("headers", ()), *own]}
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        headers, changes = request.headers, request.method not in ("GET", "HEAD")
        if not self._access.knows_host(headers.get("host", "")):
            return _refused(421, "the page is not known by this name: use its address")
        # A link from elsewhere may lead to the page, and to nothing else.
        if not (request.url.path == "/" and not changes) and not self._access.same_site(
            headers, changes
        ):
            return _refused(403, "the request comes from another site")
        return None


def app_of(hub: Hub, access: Access, allowance: Allowance | None = None) -> ASGIApp:
    """Return the page's application.

    Args:
        hub: has the parts of the page.
        access: says who may see it and change limits.
        allowance: of requests; None for the usual one.
    """
    style = CHART_STYLE + _file("/page.css")
    bodies = {path: style if path == "/page.css" else _file(path) for path in FILES}

    async def page(request: Request) -> Response:
        if not access.may_see(_cookies(request)):
            return HTMLResponse(entrance(), 401)
        return HTMLResponse(page_of(hub.parts(), hub.desk.path is not None))

    async def events(request: Request) -> Response:
        if not access.may_see(_cookies(request)):
            return _refused(401, "the token is needed")
        if request.method == "HEAD":  # asks for nothing that goes on
            return Response(media_type=EventStream.media_type)
        if hub.viewers >= MOST_VIEWERS:
            return _refused(503, f"{MOST_VIEWERS} viewers look already", {"retry-after": "30"})
        return EventStream(hub)

    async def file(request: Request) -> Response:
        path = request.url.path
        return Response(bodies[path], media_type=FILES[path])

    async def enter(request: Request) -> Response:
        form = await _form(request)
        if not access.knows_token(form.get("token", "")):
            return HTMLResponse(entrance("This is not the token."), 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, access.ticket, httponly=True, samesite="strict")
        return answer

    async def limits(request: Request) -> Response:
        form = await _form(request)
        if not access.knows_token(form.get("token", "")):
            return _told(request, 403, "this is not the token: the command printed it at its start")
        try:
            answer = await asyncio.to_thread(
                hub.desk.ask, form.get("limit", ""), form.get("value", ""), hub.watched
            )
        except TunerError as error:
            return _told(request, 400, str(error))
        hub.asked()
        return _told(request, 200, answer)

    routes = [
        Route("/", page),
        Route("/events", events),
        *(Route(path, file) for path in FILES),
        Route("/limits", _bounded(limits), methods=["POST"]),
        Route("/enter", _bounded(enter), methods=["POST"]),
    ]
    return Guarded(Starlette(routes=routes), access, allowance or Allowance(RATE, BURST))


class _TooMuchError(Exception):
    """A request is larger, or slower, than any that the page sends."""


def _bounded(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Refuse a body that is of another kind, too large or too slow."""

    async def bounded(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            return _refused(415, f"the form has to come as {FORM}")
        try:
            return await endpoint(request)
        except (_TooMuchError, ClientDisconnect, asyncio.TimeoutError):
            return _refused(413, "the request is too large, or did not come in time")

    return bounded


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form that was sent, the first of each name."""

    async def read() -> bytes:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY:
                raise _TooMuchError
        return body

    body = await asyncio.wait_for(read(), BODY_S)
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _cookies(request: Request) -> dict[str, str]:
    try:
        found = SimpleCookie(request.headers.get("cookie", "")[:4096])
    except CookieError:
        return {}
    return {name: each.value for name, each in found.items()}


def _told(request: Request, status: int, sentence: str) -> Response:
    """Return a sentence, for the script as it is, for others as a page."""
    if request.headers.get("accept") == "text/plain":
        return PlainTextResponse(sentence, status)
    return HTMLResponse(said(sentence), status)


def _refused(status: int, sentence: str, more: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(sentence, status, {"connection": "close", **HEADERS, **(more or {})})


def _file(path: str) -> str:
    return files("tuner.page").joinpath("static", path.lstrip("/")).read_text("utf-8")
