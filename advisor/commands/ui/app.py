"""The addresses of the page. Each does what a command does, by the same code, and says which command that is."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from advisor import __version__, language
from advisor.ask.questions import QUESTIONS
from advisor.commands.ui import desk
from advisor.commands.ui.guard import Guard, form_token
from advisor.commands.ui.workers import Overtaken, Workers
from advisor.page.environment import asset
from advisor.page.frame import Frame

if TYPE_CHECKING:
    from starlette.requests import Request

ASSETS = {"page.css": "text/css", "ui.css": "text/css", "copy.js": "text/javascript", "ui.js": "text/javascript",
          "icon.svg": "image/svg+xml"}  # fmt: skip
LANGUAGE = "sft_advisor_lang"
"""The cookie of the language that was chosen on the page."""


class Page:
    """What the addresses share: the workers, and what stands in every page."""

    def __init__(self, token: str, quick: Workers, slow: Workers) -> None:
        self.quick, self.slow = quick, slow
        self.form_token = form_token(token)

    async def advise(self, request: Request) -> Response:
        """The form with the answer beside it, all that is known of machine, model and data looked up anew."""
        asked = desk.Asked(_typed(request), secrets.token_urlsafe(8), _language(request))
        return HTMLResponse(await self.quick.ask("", desk.whole, asked, self._frame(request)))

    async def parts(self, request: Request) -> Response:
        """The form and the answer as they are with one answer changed."""
        try:
            shown = await self.quick.ask(_tab(request), desk.answer, self._asked(request))
        except Overtaken:
            return Response(status_code=204)
        return JSONResponse(shown._asdict())

    async def more(self, request: Request) -> Response:
        """What takes longer: what would change the answer, and all that it rests on."""
        try:
            return HTMLResponse(await self.slow.ask(_tab(request), desk.more, self._asked(request)))
        except Overtaken:
            return Response(status_code=204)

    def _asked(self, request: Request) -> desk.Asked:
        return desk.Asked(_typed(request), request.headers.get("x-look", "")[:32], _language(request))

    def _frame(self, request: Request) -> Frame:
        """What stands around every page."""
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return Frame(
            place=request.url.path,
            form_token=self.form_token,
            version=__version__,
            lang=_language(request),
            languages=tuple(
                (code, name, f"/language?{urlencode({'to': code, 'back': here})}")
                for code, name in language.LANGUAGES.items()
            ),
        )


def make_app(token: str, quick: Workers, slow: Workers) -> Starlette:
    """The application, for a server or a test client."""
    page = Page(token, quick, slow)
    return Starlette(
        routes=[
            Route("/", page.advise),
            Route("/parts", page.parts),
            Route("/more", page.more),
            Route("/language", _choose_language),
            Route("/assets/{name}", _asset),
        ],
        middleware=[Middleware(Guard, token=token)],
    )


def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ASSETS:
        return Response(status_code=404)
    folder = "" if name in ("page.css", "copy.js") else "ui/"
    return Response(asset(folder + name), media_type=ASSETS[name])


def _choose_language(request: Request) -> Response:
    wanted, back = request.query_params.get("to", ""), request.query_params.get("back", "/")
    if not back.startswith("/") or back.startswith(("//", "/\\")):
        back = "/"
    response = RedirectResponse(back, status_code=303)
    if wanted in language.LANGUAGES:
        response.set_cookie(LANGUAGE, wanted, httponly=True, samesite="strict", path="/")
    return response


def _language(request: Request) -> str:
    """What was chosen on the page, else what the command was started in."""
    chosen = request.cookies.get(LANGUAGE, "")
    return chosen if chosen in language.LANGUAGES else language.current()


def _typed(request: Request) -> tuple[tuple[str, str], ...]:
    """The answers in the address, in the order of the questions; what is no question is no answer."""
    given = request.query_params
    return tuple((one.key, text) for one in QUESTIONS if (text := given.get(one.key, "").strip()))


def _tab(request: Request) -> str:
    return request.headers.get("x-tab", "")[:32]
