"""How fast the page of `sft-advisor ui` is: changed answers in a real browser, and changed answers a second.

    python tests/benchmarks/page_latency.py [--changes 20] [--seconds 10] [--json]

Two figures. The first is taken in a headless Chromium: an answer of the form changes, and the clock runs until the
new answer is drawn (median and 90th percentile). The second asks the server for differing answers from several tabs
at once and counts what comes back right and what does not. Both are times on the wall, so that a busy machine makes
them worse: the load beside them says how busy it was.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

ROOT = Path(__file__).resolve().parents[2]
ON_SCREEN_MILLISECONDS_AT_MOST = 150.0
ANSWERS_PER_SECOND_AT_LEAST = 200.0
ANSWERS = {"model": "Qwen3-8B", "hardware": "RTX 4090", "data.kind": "chat"}
TABS = 8
DRAWN = """examples => new Promise((done, failed) => {
  const desk = document.querySelector(".desk"), field = document.getElementById("q-data.examples");
  delete desk.dataset.milliseconds;
  const began = performance.now();
  new MutationObserver((_, watch) => {
    if (!desk.dataset.milliseconds) return;
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began), 0));
  }).observe(desk, { attributes: true });
  setTimeout(() => failed(new Error("no answer within 60 seconds")), 60000);
  field.value = examples;
  field.dispatchEvent(new Event("change", { bubbles: true }));
})"""
"""Milliseconds from a change to the frame after the answer was put in place."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=20, help="changes of an answer in the browser")
    parser.add_argument("--seconds", type=float, default=10, help="for how long answers are asked for")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with served() as link:
        figures = {**on_screen(link, options.changes), **a_second(link, options.seconds)}
    figures["load_of_the_last_minute"] = os.getloadavg()[0]
    if options.json:
        print(json.dumps(figures, indent=2))
        return 0
    for name, value in figures.items():
        print(f"{name:<40} {value:>10,.1f}")
    print(f"targets: {ON_SCREEN_MILLISECONDS_AT_MOST:g} ms on the screen, {ANSWERS_PER_SECOND_AT_LEAST:g} answers/s")
    return 0


@contextmanager
def served() -> Iterator[str]:
    """The link that `sft-advisor ui` prints, from a process of its own."""
    command = [sys.executable, "-m", "advisor", "ui", "--no-browser", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder) as server,
    ):
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def on_screen(link: str, changes: int) -> dict[str, float]:
    """Milliseconds until a changed answer is drawn; the first two changes warm the processes and are not counted."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.set_default_timeout(120_000)
        tab.goto(link)
        base = urlsplit(link)
        tab.goto(f"{base.scheme}://{base.netloc}/?{urlencode({**ANSWERS, 'data.examples': '5000'})}")
        took = [tab.evaluate(DRAWN, str(5000 + 700 * change)) for change in range(changes + 2)][2:]
        browser.close()
    return {
        "on_screen_milliseconds_median": statistics.median(took),
        "on_screen_milliseconds_p90": statistics.quantiles(took, n=10)[-1],
    }


def a_second(link: str, seconds: float) -> dict[str, float]:
    """Differing answers a second over `TABS` connections, and how many requests were not answered with 200."""
    address = urlsplit(link)
    numbers = itertools.count(1)
    cookie = _cookie(link)
    ends = time.perf_counter() + seconds

    def one_tab(name: int) -> tuple[int, int]:
        right = wrong = 0
        connection = http.client.HTTPConnection(address.netloc)
        while time.perf_counter() < ends:
            query = urlencode({**ANSWERS, "data.examples": str(1000 + next(numbers))})
            connection.request("GET", f"/parts?{query}", headers={"cookie": cookie, "x-tab": f"tab{name}"})
            response = connection.getresponse()
            response.read()
            right, wrong = right + (response.status == 200), wrong + (response.status != 200)
        connection.close()
        return right, wrong

    began = time.perf_counter()
    with ThreadPoolExecutor(TABS) as tabs:
        counted = list(tabs.map(one_tab, range(TABS)))
    took = time.perf_counter() - began
    return {
        "answers_per_second": sum(right for right, _ in counted) / took,
        "requests_without_an_answer": sum(wrong for _, wrong in counted),
    }


def _cookie(link: str) -> str:
    """What the server gives to whoever opens the link with the key."""
    address = urlsplit(link)
    connection = http.client.HTTPConnection(address.netloc)
    connection.request("GET", f"/?{urlencode(parse_qsl(address.query))}")
    response = connection.getresponse()
    response.read()
    connection.close()
    return (response.getheader("set-cookie") or "").partition(";")[0]


if __name__ == "__main__":
    sys.exit(main())
