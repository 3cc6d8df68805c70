"""What the check finds in hostile inputs, and that the command which a finding shows takes the finding away."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advisor.commands.cli import main
from advisor.data.check import check_dataset
from advisor.data.verdict import DataVerdict
from advisor.model import resolve_model
from tests.data.conftest import save_model
from tests.trainers.examples.templates import SHIPPED, TOOLS, answer, calls, result, system, user

Row = dict[str, Any]
ROWS = 60


def town(number: int) -> str:
    return f"Town{number}"


def called(number: int, *turns: Row, tools: Any = TOOLS) -> Row:
    asked = user(f"How warm are {town(number)} and {town(number + 1)}?")
    beside = {"tools": tools} if tools else {}
    return {"messages": [asked, *turns, answer(f"{number} degrees there.")], **beside}


def both(number: int) -> Row:
    return answer("", tool_calls=calls(town(number), town(number + 1)))


def one(number: int) -> Row:
    return answer("", tool_calls=calls(town(number)))


def without_id(message: Row) -> Row:
    return {key: value for key, value in message.items() if key != "tool_call_id"}


def hermes(number: int) -> str:
    return f'<tool_call>\n{{"name": "get_weather", "arguments": {{"city": "{town(number)}"}}}}\n</tool_call>'


def thinking(text: str) -> Callable[[int], Row]:
    return lambda number: {"messages": [user(f"Half of {2 * number}?"), answer(text.format(number))]}


def plain(text: str) -> Callable[[int], Row]:
    return lambda number: {"text": text.format(f"How far is {town(number)}?", f"It is {number} miles away.")}


def two_rounds(number: int) -> Row:
    first, second = answer("<think>halve</think>1"), answer(f"<think>add to {number}</think>2")
    return {"messages": [user(f"Half of {number}?"), first, user("Plus one?"), second]}


HOSTILE: dict[str, tuple[Callable[[int], Row], str]] = {
    "results in another order": (lambda n: called(n, both(n), result("9C", 1), result("8C", 0)), "result-order"),
    "results without ids": (
        lambda n: called(n, both(n), without_id(result("8C")), without_id(result("9C"))),
        "result-ids",
    ),
    "a result of another call": (lambda n: called(n, one(n), result("8C", 7)), "unmatched-result"),
    "a result behind no call": (lambda n: called(n, result("8C")), "unmatched-result"),
    "a call without its result": (lambda n: called(n, one(n)), "missing-result"),
    "one result of two": (lambda n: called(n, both(n), result("8C")), "missing-result"),
    "no tools declared": (lambda n: called(n, one(n), result("8C"), tools=None), "undeclared-tools"),
    "arguments cut": (
        lambda n: called(
            n, answer("", tool_calls=[{"function": {"name": "get_weather", "arguments": '{"city": "O'}}])
        ),
        "invalid-call",
    ),
    "calls as words": (
        lambda n: {"messages": [system(f"<tools>{json.dumps(TOOLS)}</tools>"), user(f"And {n}?"), answer(hermes(n))]},
        "written-calls",
    ),
    "calls as words of another family": (
        lambda n: {
            "messages": [
                user(f"And {n}?"),
                answer(f'[TOOL_CALLS][{{"name": "get_weather", "arguments": {{"city": "{n}"}}}}]'),
            ]
        },
        "foreign-calls",
    ),
    "reasoning without an end": (thinking("<think>halve it, so {0}"), "broken-reasoning"),
    "reasoning in the middle": (thinking("Well. <think>halve</think> {0}"), "broken-reasoning"),
    "reasoning without an answer": (thinking("<think>halve, {0}</think>"), "no-answer"),
    "reasoning between other marks": (
        thinking("<reasoning>halve</reasoning><answer>{0}</answer>"),
        "foreign-reasoning",
    ),
    "reasoning of two rounds": (two_rounds, "dropped-reasoning"),
    "an answer with the next question": (thinking("It is {0}.\n\nHuman: And the half of that?"), "next-question"),
    "an answer with its own question": (
        lambda n: {"messages": [user(f"Name the half of {n}."), answer(f"Name the half of {n}. It is less.")]},
        "repeated-question",
    ),
    "an answer with its role": (thinking("assistant\nIt is {0}."), "role-lines"),
    "an answer that is a message": (
        lambda n: {"messages": [user(f"Half of {n}?"), answer(json.dumps({"role": "assistant", "content": f"{n}"}))]},
        "nested-messages",
    ),
    "two answers": (
        lambda n: {"messages": [user(f"Half of {n}?"), answer("Less."), answer(f"{n} / 2")]},
        "two-answers",
    ),
    "messages as JSON in a text": (lambda n: {"text": json.dumps(whole(n)["messages"])}, "json-in-text"),
    "a call in a block of code": (
        lambda n: {"messages": [user(f"And {n}?"), answer(f"```json\n{hermes(n).splitlines()[1]}\n```")]},
        "written-calls",
    ),
    "guanaco": (plain("### Human: {}\n### Assistant: {}"), "written-dialogue"),
    "questions and answers": (plain("Question: {}\nAnswer: {}"), "written-dialogue"),
    "a user and a bot in a line": (plain("User: {} Bot: {}"), "written-dialogue"),
    "llama 2": (plain("<s>[INST] {} [/INST] {} </s>"), "foreign-chat"),
    "alpaca": (plain("### Instruction:\n{}\n\n### Response:\n{}"), "foreign-chat"),
    "tags": (plain("<user>{}</user><assistant>{}</assistant>"), "foreign-chat"),
    "chatml": (
        plain("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n"),
        "rendered-chat",
    ),
}
"""Each kind of input and the finding that it must show."""


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    template = (SHIPPED / "qwen3.jinja").read_text("utf-8")
    return resolve_model(str(save_model(tmp_path_factory.mktemp("qwen"), template)))


def check(path: Path, model: Any) -> DataVerdict:
    return check_dataset(str(path), model, 4096, look_for_leaks=False)


def save(rows: list[Row], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def whole(number: int) -> Row:
    """A row with nothing to be found."""
    return {"messages": [user(f"How far is {town(number)}?"), answer(f"It is {number} miles away.")]}


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_input_is_never_called_ready_and_the_way_out_works(
    title: str, qwen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, code = HOSTILE[title]
    monkeypatch.chdir(tmp_path)
    rows = [build(number) for number in range(ROWS)]
    if "text" not in rows[0]:  # what no program can add is left out, and something has to stay
        rows += [whole(number) for number in range(ROWS)]
    verdict = check(save(rows, tmp_path / "data.jsonl"), qwen)
    assert verdict.verdict != "ready"
    found = next(one for one in verdict.findings if one.code == code)
    assert found.lines or code == "dropped-reasoning"
    assert found.fix
    if code == "undeclared-tools":
        return  # nobody but the author knows the tools
    (command,) = [line for line in found.fix.splitlines() if line.startswith("sft-advisor data convert")]
    assert main(shlex.split(command)[1:]) == 0
    mended = check(tmp_path / "clean.jsonl", qwen)
    assert code not in {one.code for one in mended.findings}, mended.findings
    assert mended.proof is not None
    assert not mended.proof.unproven
    assert mended.profile.num_examples >= ROWS


def test_reasoning_of_two_rounds_is_learnt_twice_behind_its_way_out(
    qwen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save([two_rounds(number) for number in range(ROWS)], tmp_path / "data.jsonl")
    arguments = ["data", "convert", str(path), "--fix", "dropped-reasoning", "-o", "clean.jsonl"]
    assert main(arguments) == 0
    proof = check(tmp_path / "clean.jsonl", qwen).proof
    assert proof is not None
    assert (proof.rows, proof.reasoning, proof.learnt, proof.without_reasoning) == (2 * ROWS, 2 * ROWS, 2 * ROWS, 0)
