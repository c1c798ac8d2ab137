"""What stands before every page: limits, headers and the log, for friend and foe alike."""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 8192
MAX_ADDRESS_BYTES = 512  # of a path with its query
BODY_S = 10  # that a body may take to arrive
NUM_REMEMBERED = 4096  # addresses whose faults are counted; beyond that the oldest is forgotten
FORM = "application/x-www-form-urlencoded"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), fullscreen=(self)",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
}
SECRET_LIKE = re.compile(r"[A-Za-z0-9_ -]{16,}")

log = logging.getLogger("panodiff.study")


class Faults:
    """Counts faults of each origin in windows of `window_s`; memory stays bounded."""

    def __init__(self, *, each: int, window_s: float) -> None:
        self._each, self._window_s = each, window_s
        self._began = 0.0
        self._counts: OrderedDict[str, int] = OrderedDict()

    def count(self, origin: str) -> None:
        """Note one more fault of `origin`."""
        self._turn()
        self._counts[origin] = self._counts.pop(origin, 0) + 1
        if len(self._counts) > NUM_REMEMBERED:
            self._counts.popitem(last=False)

    def too_many(self, origin: str) -> bool:
        """Whether `origin` must wait until the window ends."""
        self._turn()
        return self._counts.get(origin, 0) >= self._each

    def _turn(self) -> None:
        now = time.monotonic()
        if now >= self._began + self._window_s:
            self._began = now
            self._counts.clear()


def origin_of(scope: Scope) -> str:
    """The address that a request comes from; of IPv6 its /64, which belongs to one customer."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:
        return fit_for_log(str(host))
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64)) if isinstance(address, IPv6Address) else host


def fit_for_log(text: str) -> str:
    """`text` on one line, short, and without anything that looks like a code or a token."""
    return SECRET_LIKE.sub("…", ascii(text)[1:-1])[:120]


@dataclass(frozen=True)
class Guard:
    """Refuses what no page of the study sends, adds headers, writes the access log."""

    app: ASGIApp
    secure: bool  # served by HTTPS only
    known: Callable[[Headers], str | None]  # names a request's session, which answers for its faults itself
    refusals: Faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, headers = time.perf_counter(), 0, Headers(scope=scope)
        origin = self.known(headers) or origin_of(scope)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._harden(MutableHeaders(scope=message))
            await send(message)

        try:
            body, refusal = await self._read(scope, headers, receive, origin)
            await (refusal(scope, receive, sending) if refusal else self.app(scope, _replay(body, receive), sending))
        finally:
            if 400 <= status < 500:
                self.refusals.count(origin)
            level = logging.WARNING if status >= 400 else logging.INFO
            asked = f"{fit_for_log(scope['method'])} {fit_for_log(scope['path'])}"
            log.log(level, "%s %s %d %.1f ms", origin_of(scope), asked, status, 1000 * (time.perf_counter() - began))

    def _harden(self, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            headers[name] = value
        if self.secure:
            headers["Strict-Transport-Security"] = "max-age=31536000"

    async def _read(
        self, scope: Scope, headers: Headers, receive: Receive, origin: str
    ) -> tuple[bytes, PlainTextResponse | None]:
        """The body, and why the request is refused, if it is."""
        if fault := self._fault(scope, headers, origin):
            return b"", PlainTextResponse(fault[1], fault[0])
        try:
            async with asyncio.timeout(BODY_S):
                return await _bounded_body(receive), None
        except TimeoutError:
            return b"", PlainTextResponse("The form did not arrive in time.", 408, {"Connection": "close"})
        except ClientDisconnect:
            return b"", PlainTextResponse("The form broke off.", 400, {"Connection": "close"})
        except OverflowError:
            return b"", PlainTextResponse("Too much was sent.", 413, {"Connection": "close"})

    def _fault(self, scope: Scope, headers: Headers, origin: str) -> tuple[int, str] | None:
        """Status and reason, if what stands before the body is enough to refuse the request."""
        posted = scope["method"] == "POST"
        judged = (
            (429, "Too many refused requests. Wait a minute.", self.refusals.too_many(origin)),
            (414, "The address is too long.", len(scope["path"]) + len(scope["query_string"]) > MAX_ADDRESS_BYTES),
            (403, "This form does not come from the study's pages.", posted and not _from_own_page(headers)),
            (415, "Forms are taken, nothing else.", posted and headers.get("content-type", "").split(";")[0] != FORM),
        )
        return next(((status, reason) for status, reason, holds in judged if holds), None)


def _from_own_page(headers: Headers) -> bool:
    """Whether nothing in the request says that another site sent it; the form token decides besides."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin", "null")  # what a browser sends for a form under no-referrer
    return origin == "null" or origin.partition("://")[2] == headers.get("host")


async def _bounded_body(receive: Receive) -> bytes:
    """The whole body; OverflowError if it is larger than any form of the study, ClientDisconnect if it broke off."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise OverflowError
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hands on a body that was read already, then what comes after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed
