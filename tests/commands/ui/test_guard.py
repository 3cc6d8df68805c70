"""Only the browser of the person who started the page gets in, and no other site through it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from advisor.commands.ui.guard import COOKIE, HEADERS, kept_token, link
from tests.commands.ui.conftest import HOST, TOKEN

PATHS = ("/", "/parts", "/more", "/assets/ui.js", "/nothing", "/language?to=zh_CN")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("cookie", ["", "wrong", TOKEN[:-1]])
def test_without_the_key_nothing_is_shown(stranger: TestClient, path: str, cookie: str) -> None:
    stranger.cookies.set(COOKIE, cookie)
    told = stranger.get(path)
    assert told.status_code == 403
    assert "sft-advisor ui" in told.text


def test_the_link_lets_in_once_and_leaves_no_key_in_the_address(stranger: TestClient) -> None:
    first = stranger.get(link(TOKEN, 8765), params={"token": TOKEN, "model": "Qwen3-8B", "hardware": "8x H100"})
    assert first.status_code == 303
    assert first.headers["location"] == "/?model=Qwen3-8B&hardware=8x+H100"
    cookie = first.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.get("/assets/ui.js").status_code == 200


def test_a_link_of_another_start_lets_nobody_in(stranger: TestClient) -> None:
    told = stranger.get(link("another-token", 8765))
    assert told.status_code == 403
    assert "set-cookie" not in told.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[::1", "@localhost"]
)
def test_a_name_that_was_pointed_at_this_machine_is_refused(browser: TestClient, host: str) -> None:
    assert browser.get("/assets/ui.js", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1", "[::1]:9000"])
def test_a_tunnel_may_show_the_page_on_another_port(browser: TestClient, host: str) -> None:
    assert browser.get("/assets/ui.js", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("mode", ["no-cors", "cors", "same-origin"])
def test_another_site_cannot_load_anything_into_its_page(browser: TestClient, site: str, mode: str) -> None:
    told = browser.get("/assets/ui.js", headers={"sec-fetch-site": site, "sec-fetch-mode": mode})
    assert told.status_code == 403


@pytest.mark.parametrize("path", ["/run/events?run=%00", "/run?run=a%00b", "/compare?run=%00", "/?dataset=a%00"])
def test_a_name_that_no_file_has_is_refused_before_it_is_looked_for(browser: TestClient, path: str) -> None:
    assert browser.get(path).status_code == 400


POSTS = {
    "no origin": {"origin": ""},
    "another origin": {"origin": "http://evil.example"},
    "another port of this machine": {"origin": "http://127.0.0.1:9999"},
    "a frame without one": {"origin": "null"},
    "no token of the page": {"x-from-page": ""},
    "the cookie as token": {"x-from-page": TOKEN},
}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("case", POSTS)
def test_another_site_cannot_change_anything(browser: TestClient, method: str, case: str) -> None:
    assert browser.request(method, "/", headers=POSTS[case]).status_code == 403


def test_every_answer_carries_the_policy(browser: TestClient) -> None:
    for path in ("/assets/ui.js", "/nothing", "/language?to=en"):
        assert {name: browser.get(path).headers[name] for name in HEADERS} == HEADERS
    browser.cookies.clear()
    assert browser.get("/").headers["content-security-policy"].startswith("default-src 'none'")


def test_the_policy_admits_nothing_but_files_of_our_own() -> None:
    sources = {word for part in HEADERS["content-security-policy"].split(";") for word in part.split()[1:]}
    assert sources == {"'none'", "'self'", "data:"}


def test_the_token_outlives_a_restart_and_is_for_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(tmp_path))
    first = kept_token()
    assert first == kept_token()
    assert len(first) >= 32
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("short")
    assert kept_token() not in (first, "short")


def test_after_choosing_a_language_one_is_led_to_this_page_and_nowhere_else(browser: TestClient) -> None:
    for back in ("//evil.example", "https://evil.example", "/\\evil.example", "evil"):
        assert browser.get("/language", params={"to": "zh_CN", "back": back}).headers["location"] == "/"
    assert HOST
