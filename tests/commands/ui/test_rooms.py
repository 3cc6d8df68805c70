"""The other pages: data, plan, export, explanations, and runs from their start to their comparison."""

from __future__ import annotations

import html
import json
import os
import tomllib
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from advisor import advise
from advisor.base.errors import InputError
from advisor.commands.ui.control import Control
from advisor.commands.ui.rooms import LAUNCH_LOG
from tests.commands.test_runs import lay_out
from tests.commands.ui.test_advice import ASK, HOSTILE
from tests.waiting import wait_until
from trainers.plan import plan_to_dict
from trainers.run_folder.lock import hold, holder_of


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    """Good rows, one twice, one broken, and one that gives orders."""
    rows = [(f"What is {number} + {number}?", f"It is {2 * number}.") for number in range(40)]
    rows += [rows[0], (HOSTILE, HOSTILE)]
    lines = [
        json.dumps({"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]})
        for asked, said in rows
    ]
    file = tmp_path / "chats.jsonl"
    file.write_text("\n".join([*lines, "{broken"]) + "\n")
    return file


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return lay_out(tmp_path / "runs/one", 1e-4, 2.0), lay_out(tmp_path / "runs/two", 3e-4, 1.0)


def test_the_check_shows_findings_what_becomes_of_each_column_and_its_command(
    browser: TestClient, chats: Path
) -> None:
    page = browser.get("/data", params={"dataset": str(chats)}).text
    said = html.unescape(page)
    for part in ("Can be trained on, with", "broken", "repeat another", "messages", f"data check {chats}"):
        assert part in said, part
    assert "<script>document" not in page
    assert "<img" not in page
    assert "is no number of tokens" in browser.get("/data", params={"dataset": str(chats), "max_seq_len": "x"}).text
    assert 'class="problem"' in browser.get("/data", params={"dataset": "/nowhere.jsonl"}).text


def test_the_plan_is_that_of_the_command_line_and_each_field_is_explained(browser: TestClient) -> None:
    plan = advise(model="Qwen3-8B", hardware="RTX 4090", data_examples=5000).plan
    assert plan is not None
    kept = browser.get("/plan.toml", params=ASK)
    assert "attachment" in kept.headers["content-disposition"]
    assert tomllib.loads(kept.text) == tomllib.loads(tomllib_text(plan))
    page = browser.get("/plan", params=ASK).text
    assert 'href="/explain?topic=lora_rank"' in page
    assert "lora_rank" in browser.get("/explain", params={"topic": "lora_rank"}).text


def tomllib_text(plan) -> str:
    import tomli_w

    return tomli_w.dumps(plan_to_dict(plan))


@pytest.mark.parametrize("target", ["axolotl", "slurm"])
def test_the_plan_is_said_in_the_words_of_each_tool(browser: TestClient, target: str) -> None:
    page = browser.get("/plan", params={**ASK, "to": target}).text
    assert f"sft-advisor export plan.toml --to {target}" in page
    assert 'class="problem"' not in page


def test_what_cannot_be_explained_or_planned_is_said(browser: TestClient) -> None:
    page = browser.get("/explain", params={"topic": HOSTILE}).text
    assert 'class="problem"' in page
    assert "<script>document" not in page
    assert 'class="problem"' in browser.get("/plan", params={**ASK, "to": "nothing"}).text
    assert 'class="problem"' in browser.get("/start", params={"model": "no-such-model"}).text
    assert browser.get("/plan.toml", params={"model": "no-such-model"}).status_code == 400


def test_nothing_is_started_that_cannot_run_here(browser: TestClient) -> None:
    assert "cannot be started from here" in browser.get("/start", params=ASK).text
    told = browser.post("/start", data=ASK)
    assert told.status_code == 400
    assert "no dataset was named" in told.text
    assert not Path("runs").exists()
    assert browser.post("/start", content=b"model=" + b"x" * (1 << 19)).status_code == 400


def test_runs_are_listed_shown_and_compared(browser: TestClient, two: tuple[Path, Path]) -> None:
    listed = browser.get("/runs", params={"folder": str(two[0].parent)}).text
    assert listed.count('type="checkbox"') == 2
    shown = browser.get("/run", params={"run": str(two[0])}).text
    for part in ("finished", "2.0500", "Still falling at the end", "<polyline"):
        assert part in shown, part
    beside = html.unescape(browser.get("/compare", params={"run": [str(one) for one in two]}).text)
    assert "the second is better" in beside
    assert "learning_rate" in beside
    assert "\x1b" not in beside
    for wrong in (browser.get("/run", params={"run": "/"}), browser.get("/compare", params={"run": str(two[0])})):
        assert 'class="problem"' in wrong.text


def test_a_run_is_followed_until_it_is_over(browser: TestClient, two: tuple[Path, Path]) -> None:
    with browser.stream("GET", "/run/events", params={"run": str(two[0])}) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        kind, data = [line for line in events.iter_lines() if line]
    assert kind == "event: over"
    assert "<polyline" in json.loads(data.removeprefix("data: "))


def test_only_a_run_can_be_stopped_resumed_or_asked(browser: TestClient, tmp_path: Path) -> None:
    for path in ("/run/stop", "/run/resume", "/run/ask"):
        assert browser.post(path, data={"run": str(tmp_path), "question": "Who?"}).status_code == 400, path
    assert list(tmp_path.iterdir()) == []


def test_who_carries_a_run_out_is_known_while_it_does(two: tuple[Path, Path]) -> None:
    assert holder_of(two[0]) is None
    with hold(two[0]):
        assert holder_of(two[0]) == os.getpid()
    assert holder_of(two[0]) is None


def test_a_command_goes_on_by_itself_and_says_into_the_run_folder(tmp_path: Path) -> None:
    control = Control()
    control.start(tmp_path, ["--version"])
    with hold(tmp_path):
        assert control.phase(tmp_path) == ""
    assert control.phase(tmp_path) in ("ending", "")
    wait_until(lambda: not control.phase(tmp_path))
    assert (tmp_path / LAUNCH_LOG).read_text().startswith("sft-advisor ")
    with pytest.raises(InputError):
        control.stop(tmp_path)
