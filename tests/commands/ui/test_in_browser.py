"""The page in a real browser: by keyboard alone, for everybody's eyes, and with a stranger's page beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.commands.calling import ROOT
from tests.commands.test_runs import lay_out
from tests.waiting import PATIENCE_SECONDS, wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE = PATIENCE_SECONDS * 1000
SEEN_AS = [(390, "light"), (1600, "dark")]
ADVICE = "?model=Qwen3-8B&hardware=RTX+4090&data.kind=chat&data.examples=5000"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt install chromium"),
]


@pytest.fixture(scope="module")
def link(tmp_path_factory, new_home) -> Iterator[str]:
    """What `sft-advisor ui` prints, from a process of its own that stops at Ctrl-C."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SFT_ADVISOR_HOME": str(new_home())}
    command = [sys.executable, "-m", "advisor", "ui", "--no-browser", "--port", "0"]
    folder = tmp_path_factory.mktemp("ui")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder) as served:
        assert served.stdout is not None
        yield served.stdout.readline().strip()
        served.send_signal(signal.SIGINT)
        assert served.wait(PATIENCE_SECONDS) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, link) -> Iterator[object]:
    """An open tab, which must not have said anything on its console when it closes."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda said: complaints.append(said.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(link)
    yield tab
    context.close()
    assert complaints == []


def tab_to(page, wanted: str) -> None:
    """Press Tab until what has the focus matches the selector."""
    for _ in range(200):
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no Tab leads to {wanted}")


def test_from_nothing_to_another_answer_by_keyboard_alone(page) -> None:
    heading = page.locator("#answer h1")
    tab_to(page, "#q-model")
    page.keyboard.type("Qwen3-8B")
    tab_to(page, "#q-hardware")
    page.keyboard.type("RTX 4090")
    page.keyboard.press("Enter")
    playwright.expect(heading).to_contain_text("Fine-tune Qwen3-8B with LoRA", timeout=PATIENCE)
    playwright.expect(page.locator("#q-hardware")).to_be_focused()
    tab_to(page, "[id='q-task.shift']")
    page.keyboard.type("large")
    playwright.expect(page.locator("#more .changes .button").first).to_be_visible(timeout=PATIENCE)
    playwright.expect(page.locator("[id='f-task.shift']")).to_have_class("field given", timeout=PATIENCE)
    before = page.url
    assert "task.shift=large" in before
    tab_to(page, "#more .changes .button")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: address != before, timeout=PATIENCE)
    page.go_back()
    assert page.url == before
    playwright.expect(page.locator("[id='q-task.shift']")).to_have_value("large", timeout=PATIENCE)
    page.reload()
    playwright.expect(page.locator("#q-model")).to_have_value("Qwen3-8B")


@pytest.mark.parametrize(("width", "scheme"), SEEN_AS)
def test_everybody_can_read_and_use_it(page, width: int, scheme: str) -> None:
    # Not at the top: it reads a file in the locale's encoding, and tests are collected under every locale
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    for query in ADVICE, ADVICE + "&task.count=x":
        page.goto(page.url.partition("?")[0] + query)
        if "task.count" not in query:
            playwright.expect(page.locator("#more .changes").first).to_be_visible(timeout=PATIENCE)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def asked_about(run: Path) -> list[str]:
    """Command lines of the processes that answer for this run."""
    lines = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(place.read_bytes().decode(errors="replace").replace("\0", " "))
    return [line for line in lines if "training.chat" in line and str(run) in line]


def test_a_question_is_stopped_by_its_button(page, link: str, tmp_path: Path) -> None:
    run = lay_out(tmp_path / "runs of <b>mine</b>", 1e-4, 2.0)
    (run / "result").mkdir()
    page.goto(f"{link.partition('/?')[0]}/run?{urlencode({'run': str(run)})}")
    stop, ask = page.get_by_role("button", name="Stop"), page.get_by_role("button", name="Ask both")
    playwright.expect(stop).to_be_hidden()
    playwright.expect(page.locator("code").first).to_have_text(f"sft-advisor runs watch '{run}'")
    page.fill("#question", "Who?")
    ask.click()
    stop.click()
    playwright.expect(stop).to_be_hidden()
    playwright.expect(ask).to_be_enabled()
    playwright.expect(page.locator("#chat .outcome")).to_be_empty()
    wait_until(lambda: asked_about(run) == [])


def test_another_site_reaches_nothing(page, link: str, browser) -> None:
    there = link.partition("/?")[0]
    attack = f"""<form id="f" method="post" action="{there}/" target="t"><input name="model" value="x"></form>
    <iframe name="t"></iframe><script src="{there}/assets/ui.js"></script>
    <script>f.submit(); fetch("{there}/parts", {{credentials: "include"}}).then(r => r.text())
      .then(t => document.title = "read " + t, () => document.title = "refused")</script>"""
    stranger = page.context.new_page()
    stranger.route("http://evil.example/**", lambda route: route.fulfill(body=attack, content_type="text/html"))
    answers: list[int] = []
    stranger.on("response", lambda response: answers.append(response.status) if there in response.url else None)
    stranger.goto("http://evil.example/")
    stranger.wait_for_function("document.title == 'refused'", timeout=PATIENCE)
    stranger.wait_for_load_state()
    assert answers == [] or {*answers} == {403}
    assert stranger.evaluate("typeof showCopyButtons") == "undefined"
