"""The form and the answer beside it: the same answer as on the command line, wherever it is asked for."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from advisor.ask.questions import QUESTIONS
from advisor.commands.api import Advice, advise
from advisor.report.page.form import applied
from trainers.method import METHODS

ASK = {"model": "Qwen3-8B", "hardware": "RTX 4090", "data.examples": "5000"}
HOSTILE = '"><script>document.body.id="taken"</script><img src=x onerror=alert(1)>\u202e{{ 7*7 }}'


def headline(page: str) -> str:
    return html.unescape(re.search(r"<h1>(.*?)</h1>", page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def wanted(new_home: Callable[[], Path]) -> Advice:
    """What the command line says to ASK."""
    with pytest.MonkeyPatch.context() as here:
        here.setenv("SFT_ADVISOR_HOME", str(new_home()))
        return advise(model="Qwen3-8B", hardware="RTX 4090", data_examples=5000)


def test_the_answer_is_that_of_the_command_line(browser: TestClient, wanted: Advice) -> None:
    page = browser.get("/", params=ASK).text
    assert headline(page) == wanted.headline
    parts = browser.get("/parts", params=ASK).json()
    assert headline(parts["answer"]) == wanted.headline
    more = html.unescape(browser.get("/more", params=ASK).text)
    assert [change.flag for change in wanted.recommendation.changes if change.flag not in more] == []
    assert "sft-advisor --non-interactive --model Qwen3-8B --hardware 'RTX 4090' --data-examples 5000" in more


def test_trying_a_change_leads_to_what_was_said_of_it(browser: TestClient, wanted: Advice) -> None:
    more = browser.get("/more", params=ASK).text
    addresses = [html.unescape(found) for found in re.findall(r'class="button" href="([^"]*)"', more)]
    assert len(addresses) == len(wanted.recommendation.changes) > 0
    for address, change in zip(addresses, wanted.recommendation.changes, strict=True):
        asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
        assert {**ASK, **asked} == asked, "an answer was lost"
        page = browser.get("/parts" + address[1:]).json()["answer"]
        assert f'class="verdict {change.verdict}"' in page
        if change.method is not None:
            assert METHODS[change.method].title in headline(page)


def test_three_questions_come_first_then_those_that_would_count(browser: TestClient) -> None:
    shown = browser.get("/parts", params=ASK).json()["form"]
    asked = re.findall(r'id="f-([\w.]+)"', shown)
    assert asked[:3] == ["model", "dataset", "hardware"]
    assert shown.index("f-task.shift") < shown.index('id="rest"')
    assert shown.index("f-data.examples") < shown.index('id="rest"'), "what was answered stays in view"
    assert len(set(asked)) == len(asked)
    always = {question.key for question in QUESTIONS if question.applies({})}
    assert always <= {*asked}


def test_what_is_wrong_stands_at_its_question_all_at_once(browser: TestClient) -> None:
    wrong = {"model": "Qwen3-8C", "hardware": "RTX 40900", "task.count": "x", "dataset": "/nowhere/x.jsonl"}
    parts = browser.get("/parts", params=wrong).json()
    for key in wrong:
        assert f'id="told-{key}"' in parts["form"], key
    assert parts["answer"].count('class="problem"') == len(wrong)
    assert 'value="Qwen3-8C"' in parts["form"], "what was typed is lost"


def test_without_an_answer_the_page_says_how_to_begin(browser: TestClient) -> None:
    page = browser.get("/").text
    starts = [html.unescape(found) for found in re.findall(r'<li><a href="([^"]*)"', page)]
    assert len(starts) == 3
    for address in starts:
        assert "told-" not in browser.get("/parts" + address[1:]).json()["form"], address


@pytest.mark.parametrize("key", ["model", "hardware", "dataset", "output", "task.count"])
def test_names_of_strangers_are_shown_and_never_obeyed(browser: TestClient, key: str) -> None:
    page = browser.get("/", params={**ASK, key: HOSTILE}).text
    assert "<script>document" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "{{ 7*7 }}" in html.unescape(page)


def test_a_name_in_a_folder_is_no_place_for_orders(browser: TestClient, tmp_path: Path) -> None:
    file = tmp_path / "<img src=x onerror=alert(1)>.jsonl"
    file.write_text(
        '{"messages": [{"role": "user", "content": "<script>a</script>"}, {"role": "assistant", "content": "b"}]}\n'
        * 30
    )
    page = browser.get("/", params={**ASK, "dataset": str(file)}).text
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_the_page_speaks_the_language_that_was_chosen(browser: TestClient) -> None:
    chosen = browser.get("/language", params={"to": "zh_CN", "back": "/?model=Qwen3-8B"})
    assert chosen.headers["location"] == "/?model=Qwen3-8B"
    assert '<html lang="zh-CN">' in (page := browser.get("/").text)
    assert "基座模型" in page
    browser.get("/language", params={"to": "en"})
    assert "Base model" in (page := browser.get("/").text)
    assert '<html lang="en">' in page


def test_flags_become_answers_and_what_is_no_answer_becomes_none() -> None:
    assert applied({"model": "A"}, '--hardware "2x 24GiB" --data-examples 7') == {
        "model": "A", "hardware": "2x 24GiB", "data.examples": "7",
    }  # fmt: skip
    for flags in ("", "--model", "--no-such-flag 3", "take another card", '--model "A', "Did you mean Qwen3-8B?"):
        assert applied({}, flags) is None
