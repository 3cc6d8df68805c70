"""Who may talk to the page: the browser of the person who started it, and no other site in that browser.

    token in the link, a cookie afterwards   another user of this machine does not know it
    Host                                     a name of another site that was pointed at this machine (DNS rebinding)
    Origin, Sec-Fetch-Site, token in forms   another site's page that posts here (CSRF)
    content policy                           text of strangers that got past the escaping still runs nothing

The cookie goes to every port of this machine's address, as cookies do: SECURITY.md says what follows from that.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from advisor.base.language import tr
from trainers.folders import state_folder
from trainers.foreign.files import read_small_file
from trainers.writing import write_atomically

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "sft_advisor_ui"
TOKEN_FIELD = "token"
NUL = b"%00"
"""What no name holds and no system call takes, as addresses and forms write it."""

OUR_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
"""The names that the page answers to, on whichever port a tunnel shows it."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
TOKEN_BYTES = 32


def kept_token() -> str:
    """The token of this user, made once, so that open tabs go on after a restart; for the user's eyes only."""
    file = state_folder() / "ui-token"
    try:
        kept = read_small_file(file, 1024).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        kept = ""
    if len(kept) >= TOKEN_BYTES:
        return kept
    made = secrets.token_urlsafe(TOKEN_BYTES)
    write_atomically(file, made.encode(), private=True)
    return made


def form_token(token: str) -> str:
    """What the forms of the page carry: known to who can read the page, and useless as a cookie."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()


class Guard:
    """Refuses before anything of the page is reached, and sets the headers of every response."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        self._form_token = form_token(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        request = Request(scope, receive)
        refused = _unnameable(request) or self._refusal(request)
        await (refused or self._app)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        """What is answered instead of the page; None for those who may see it."""
        if not OUR_HOST.fullmatch(request.headers.get("host", "")):
            return _no(421, tr("This page answers to 127.0.0.1 and localhost only."))
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _is_opened(request):
            return _no(403, tr("Another site asked for this page."))
        if TOKEN_FIELD in request.query_params and request.method == "GET":
            return self._let_in(request)
        if not _same(request.cookies.get(COOKIE, ""), self._token):
            return _no(403, tr("Open the link that `sft-advisor ui` printed in its terminal; it holds the key."))
        if request.method not in ("GET", "HEAD"):
            return self._refusal_to_change(request)
        return None

    def _let_in(self, request: Request) -> Response:
        if not _same(request.query_params[TOKEN_FIELD], self._token):
            return _no(403, tr("This link is of another start; open the one that `sft-advisor ui` printed last."))
        rest = request.url.remove_query_params(TOKEN_FIELD)
        response = RedirectResponse(rest.path + (f"?{rest.query}" if rest.query else ""), status_code=303)
        response.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", path="/")
        return response

    def _refusal_to_change(self, request: Request) -> Response | None:
        origin = request.headers.get("origin")
        if origin != f"http://{request.headers['host']}":
            return _no(403, tr("Another site's page may change nothing here."))
        if not _same(request.headers.get("x-from-page", ""), self._form_token):
            return _no(403, tr("This page is too old; load it again."))
        return None


def _unnameable(request: Request) -> Response | None:
    """What is answered where a name is asked for that no file has; None elsewhere."""
    if NUL in request.scope["query_string"]:
        return _no(400, tr("No file or model has a NUL character in its name."))
    return None


def _is_opened(request: Request) -> bool:
    """A link that somebody followed, which shows the page to them and to no script."""
    return request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _no(status: int, why: str) -> Response:
    return PlainTextResponse(why + "\n", status_code=status)


def link(token: str, port: int) -> str:
    """The address that lets a browser in."""
    return f"http://127.0.0.1:{port}/?{TOKEN_FIELD}={token}"
