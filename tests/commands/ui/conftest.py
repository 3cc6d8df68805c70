"""The page of `sft-advisor ui` as a browser asks for it, without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from advisor.commands.ui import desk
from advisor.commands.ui.app import make_app
from advisor.commands.ui.guard import TOKEN_FIELD, form_token
from advisor.commands.ui.workers import Workers

TOKEN = "a-token-that-only-this-person-knows-of"
HOST = "http://127.0.0.1:8765"


@pytest.fixture(scope="session")
def workers(new_home: Callable[[], Path]) -> Iterator[Workers]:
    """One process for all tests, with a home of its own: it keeps answers there. It is started by the thread that
    ends last, for it ends with that."""
    pool = Workers(1)
    with pytest.MonkeyPatch.context() as here:
        here.setenv("SFT_ADVISOR_HOME", str(new_home()))
        pool.warm(desk.book, "en")
    yield pool
    pool.close()


@pytest.fixture
def stranger(workers: Workers) -> Iterator[TestClient]:
    """A browser without the key."""
    with TestClient(make_app(TOKEN, workers, workers), base_url=HOST, follow_redirects=False) as client:
        yield client


@pytest.fixture
def browser(stranger: TestClient) -> TestClient:
    """A browser that opened the link, and what its forms carry."""
    stranger.get("/", params={TOKEN_FIELD: TOKEN})
    stranger.headers |= {"x-from-page": form_token(TOKEN), "origin": HOST}
    return stranger
