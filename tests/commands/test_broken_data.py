"""One dataset broken in more than twenty ways: `data check` and `train` name each before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_main_job import advisor
from tests.data.conftest import PRIVATE_KEY, chat, chats, save_model

LONG = "the fox jumps " * 200
TOOL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": "{}"}}]}

ROWS: dict[str, str | bytes | dict[str, Any]] = {
    "cut short": '{"messages": [{"role": "user", "cont',
    "not valid JSON": '{"messages": [,]}',
    "not UTF-8 text": b'{"messages": [{"role": "user", "content": "caf\xe9"}]}',
    "a list where an object was expected": "[1, 2]",
    "no messages": {"messages": []},
    "a message is a str": {"messages": ["hello"]},
    "a message without a role": {"messages": [{"content": "hello"}]},
    "unknown role 'narrator'": {"messages": [{"role": "narrator", "content": "once"}]},
    "no assistant message to learn from": {"messages": [{"role": "user", "content": "hello"}]},
    "every assistant message is empty": chat("hello?", "  "),
    "has no content": {"messages": [{"role": "user"}, {"role": "assistant", "content": "a"}]},
    "content is a int": {"messages": [{"role": "user", "content": 5}, {"role": "assistant", "content": "a"}]},
    "sounds and films cannot be trained on yet": {"messages": [{"role": "user", "content": [{"type": "audio"}]}]},
    "a tool call has no function name": {"messages": [{"role": "user", "content": "q"}, TOOL]},
}
"""What the check says of a row -> the row."""

FINDINGS: dict[str, list[dict[str, Any]]] = {
    "truncation": [chat(f"q{i}", f"{i} {LONG}") for i in range(30)],
    "masked": [chat(f"{i} {LONG}", "a") for i in range(5)],
    "duplicates": [chat("again?", "again")] * 12,
    "eval-overlap": [chat("kept back?", "trained on")],
    "aws-access-key: AWS Access Key": [chat("key?", "AKIAIOSFODNN7EXAMPLQ")],
    "github-token: GitHub Token": [chat("token?", "ghp_" + "Zq7TfK2mXw9LrB4nHc8VpYd3Gs6JuE1oAi5v")],
    "private-key: Private Key": [chat("key?", PRIVATE_KEY)],
    "password-in-address: password in an address": [chat("db?", "postgres://admin:hunter22@db.corp.io/x")],
    "email: e-mail address": [chat("who?", "anna.kern@brightlane.co")],
    "phone: telephone number": [chat("call?", "+49 151 2360 9714")],
    "card: payment card number": [chat("pay?", "4539 1488 0343 6467")],
    "iban: IBAN": [chat("pay?", "GB94 BARC 1020 1530 0934 59")],
    "template": [{"messages": [*chat("q", "a")["messages"], {"role": "system", "content": "late"}]}] * 2,
}
"""Finding, and a word that it has to say -> the rows that call for it."""

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' and not loop.first %}{{ raise_exception('late system') }}"
    "{% endif %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose pad token is its end token, and a dataset with everything above in it."""
    folder = tmp_path_factory.mktemp("broken")
    save_model(folder / "model", TEMPLATE, pad_token="<|im_end|>")
    rows = [*chats(100), *ROWS.values(), *(row for rows in FINDINGS.values() for row in rows)]
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode() for row in rows
    ]
    (folder / "broken.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in FINDINGS["eval-overlap"] * 2))
    return folder


def test_every_breakage_is_named(folder: Path) -> None:
    assert len(ROWS) + len(FINDINGS) >= 20
    done = advisor(
        folder,
        *(
            "data",
            "check",
            "broken.jsonl",
            "--model",
            "model",
            "--max-seq-len",
            "256",
            "--eval",
            "held.jsonl",
            "--json",
        ),
    )
    assert done.returncode == 2, done.stderr
    verdict = json.loads(done.stdout)
    broken = {problem["line"]: problem["what"] for problem in verdict["profile"]["broken_rows"]}
    for line, what in enumerate(ROWS, 101):
        assert what in broken[line]
    shown = next(one for one in verdict["findings"] if one["code"] == "broken-rows")
    assert all(what in shown["why"] for what in list(ROWS)[:10])
    for name in FINDINGS:
        code, _, word = name.partition(": ")
        assert any(one["code"] == code and word in one["what"] for one in verdict["findings"]), name
    assert any(one["code"] == "pad-is-eos" for one in verdict["findings"])


def test_a_launch_names_what_blocks_and_starts_nothing(folder: Path) -> None:
    done = advisor(
        folder,
        *("train", "lora", "--model", "model", "--dataset", "broken.jsonl", "--hardware", "cpu", "--run-dir", "run"),
        *("--max-seq-len", "256"),
    )
    assert done.returncode == 2, done.stderr
    for said in (
        "rows are broken",
        "are longer than 256 tokens",
        "have no answer",
        "AWS Access Key",
        "chat template refuses",
    ):
        assert said in done.stderr
    assert "--allow private-key accepts it" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "run" / "run.json").exists()
