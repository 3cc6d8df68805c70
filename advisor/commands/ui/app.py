"""The addresses of the page. Each does what a command does, by the same code, and says which command that is."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from advisor.ask.questions import QUESTIONS
from advisor.base import language
from advisor.base.errors import InputError
from advisor.base.language import tr
from advisor.base.version import __version__
from advisor.commands.ui import desk, rooms
from advisor.commands.ui.control import Control
from advisor.commands.ui.guard import NUL, Guard, form_token
from advisor.commands.ui.workers import Failed, Overtaken, Workers
from advisor.report.page.environment import asset
from advisor.report.page.frame import Frame
from trainers.run_folder import layout

if TYPE_CHECKING:
    from starlette.requests import Request

ASSETS = {"page.css": "text/css", "ui.css": "text/css", "copy.js": "text/javascript", "ui.js": "text/javascript",
          "icon.svg": "image/svg+xml"}  # fmt: skip
MOST_BYTES = 1 << 18
"""Of a form."""
P = ParamSpec("P")
LANGUAGE = "sft_advisor_lang"
"""The cookie of the language that was chosen on the page."""


class Page:
    """What the addresses share: the workers, and what stands in every page."""

    def __init__(self, token: str, quick: Workers, slow: Workers) -> None:
        self.quick, self.slow, self.control = quick, slow, Control()
        self.form_token = form_token(token)

    async def advise(self, request: Request) -> Response:
        """The form with the answer beside it, all that is known of machine, model and data looked up anew."""
        asked = desk.Asked(_typed(request.query_params), secrets.token_urlsafe(8), _language(request))
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

    async def data(self, request: Request) -> Response:
        """The check of a dataset."""
        return await self._shown(self.slow, rooms.data, dict(request.query_params), self._frame(request))

    async def plan(self, request: Request) -> Response:
        """The plan, and the same for other tools."""
        target = request.query_params.get("to", "")
        return await self._shown(self.quick, rooms.plan, self._asked(request), self._frame(request), target)

    async def plan_file(self, request: Request) -> Response:
        """The plan as a file to keep."""
        text = await self.quick.ask("", rooms.plan_file, self._asked(request))
        return PlainTextResponse(text, headers={"content-disposition": "attachment"})

    async def explained(self, request: Request) -> Response:
        """A word, explained."""
        topic = request.query_params.get("topic", "") or "peft"
        return await self._shown(self.quick, rooms.explained, topic, self._frame(request))

    async def before_start(self, request: Request) -> Response:
        """What a start would take."""
        return await self._shown(self.quick, rooms.before_start, self._asked(request), self._frame(request))

    async def start(self, request: Request) -> Response:
        """Start a run."""
        asked = desk.Asked(_typed(given := await _form(request)), secrets.token_urlsafe(8), _language(request))
        begun = await self.slow.ask("", rooms.prepare_start, asked, tuple(given.get("allow", "").split()))
        if begun.wrong:
            return PlainTextResponse(begun.wrong, status_code=400)
        self.control.start(Path(begun.run_dir), begun.command)
        return JSONResponse({"to": f"/run?{urlencode({'run': begun.run_dir})}"})

    async def runs(self, request: Request) -> Response:
        """The list of runs."""
        folder = request.query_params.get("folder", "")
        return await self._shown(self.quick, rooms.runs, folder, self._frame(request))

    async def run(self, request: Request) -> Response:
        """One run."""
        folder = request.query_params.get("run", "")
        phase = self.control.phase(Path(folder))
        return await self._shown(self.quick, rooms.run, folder, self._frame(request), phase)

    async def run_events(self, request: Request) -> Response:
        """The changing part of a run's page, as server-sent events, until the run is over."""
        folder, lang = request.query_params.get("run", ""), _language(request)

        async def events() -> AsyncIterator[str]:
            async for goes_on in self.control.changes(Path(folder)):
                phase = self.control.phase(Path(folder))
                try:
                    page = await self.quick.ask("", rooms.live, folder, lang, phase)
                except Failed:
                    return
                yield f"event: {'run' if goes_on else 'over'}\ndata: {json.dumps(page)}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def stop(self, request: Request) -> Response:
        """Ask a run to save and stop."""
        folder = (await _form(request)).get("run", "")
        self.control.stop(Path(folder))
        return JSONResponse({})

    async def resume(self, request: Request) -> Response:
        """Continue a run that was stopped."""
        folder = (await _form(request)).get("run", "")
        if not (Path(folder) / layout.PLAN).is_file():
            return PlainTextResponse(tr("{folder} is no run folder", folder=folder), status_code=400)
        self.control.start(Path(folder), ["runs", "resume", folder])
        return JSONResponse({"to": f"/run?{urlencode({'run': folder})}"})

    async def ask(self, request: Request) -> Response:
        """Base beside tuned, each piece of their answers as it is written."""
        given = await _form(request)
        folder = Path(given.get("run", ""))
        if not (folder / layout.RESULT).is_dir():
            return PlainTextResponse(tr("{run} has no result to talk to", run=folder), status_code=400)
        pieces = self.control.ask(folder, given.get("question", ""))
        return StreamingResponse(pieces, media_type="application/x-ndjson")

    async def compared(self, request: Request) -> Response:
        """Two runs beside each other: the first two that were chosen."""
        chosen = [*request.query_params.getlist("run"), "", ""]
        return await self._shown(self.quick, rooms.compared, chosen[0], chosen[1], self._frame(request))

    async def _shown(self, workers: Workers, work: Callable[P, str], *args: P.args, **kwargs: P.kwargs) -> Response:
        return HTMLResponse(await workers.ask("", work, *args, **kwargs))

    def _asked(self, request: Request) -> desk.Asked:
        return desk.Asked(_typed(request.query_params), request.headers.get("x-look", "")[:32], _language(request))

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
            Route("/data", page.data),
            Route("/plan", page.plan),
            Route("/plan.toml", page.plan_file),
            Route("/explain", page.explained),
            Route("/start", page.before_start, methods=["GET"]),
            Route("/start", page.start, methods=["POST"]),
            Route("/runs", page.runs),
            Route("/run", page.run),
            Route("/run/events", page.run_events),
            Route("/run/stop", page.stop, methods=["POST"]),
            Route("/run/resume", page.resume, methods=["POST"]),
            Route("/run/ask", page.ask, methods=["POST"]),
            Route("/compare", page.compared),
            Route("/language", _choose_language),
            Route("/assets/{name}", _asset),
        ],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={Failed: _told, InputError: _told, OSError: _told},
    )


def _told(request: Request, error: Exception) -> Response:
    """What is wrong, as text."""
    return PlainTextResponse(f"{error}\n", status_code=400)


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


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form that was sent; none of one that is too long, or holds what no name does."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return {}
    return {} if NUL in body or b"\0" in body else dict(parse_qsl(body.decode(errors="replace")))


def _typed(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The answers among what was given, in the order of the questions; what is no question is no answer."""
    return tuple((one.key, text) for one in QUESTIONS if (text := given.get(one.key, "").strip()))


def _tab(request: Request) -> str:
    return request.headers.get("x-tab", "")[:32]
