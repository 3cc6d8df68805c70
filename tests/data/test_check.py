"""The verdict before any GPU time: each kind of broken data is named, and blocks where it should."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import trainers.examples.source as rows_source
from advisor.data import source as advisor_source
from advisor.data.check import binned, check_dataset
from advisor.data.findings import BLOCKING
from advisor.data.verdict import DataVerdict, Finding
from advisor.model import resolve_model
from advisor.model.spec import ModelSpec
from tests.data.conftest import PRIVATE_KEY, chat, chats, save_model
from trainers.examples.rows import Row
from trainers.plan import DatasetRef, LossOn

Write = Callable[..., str]


def finding(verdict: DataVerdict, code: str) -> Finding | None:
    return next((one for one in verdict.findings if one.code == code), None)


@pytest.mark.parametrize("text", ["a.jsonl", ".", "*.jsonl", "a.jsonl b.jsonl", "a.jsonl:1 b.jsonl:2"])
def test_nothing_of_a_dataset_is_read_before_the_lock(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = json.dumps({"text": "once upon a time", "split": "validation"})
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(f"{row}\n" * 3)
    monkeypatch.chdir(tmp_path)
    order: list[str] = []
    read = rows_source.read_file

    def reading(path: Path) -> Iterator[Row]:
        order.append("read")
        return read(path)

    monkeypatch.setattr(rows_source, "read_file", reading)
    monkeypatch.setattr(advisor_source, "lock_down", lambda size_bytes: order.append(f"locked for {size_bytes}"))
    sets = advisor_source.sets_of(DatasetRef(source=text))
    assert order[:2] == [f"locked for {sum(file.stat().st_size for file in sets.train.files)}", "read"]


def test_good_data_passes(write: Write, model: ModelSpec) -> None:
    verdict = check_dataset(write(chats(200)), model)
    assert verdict.findings == ()
    assert verdict.counted_rows == 200
    assert not verdict.is_projected
    assert verdict.max_seq_len == 512
    assert (verdict.truncated_examples, verdict.fully_masked, verdict.dropped_examples) == (0, 0, 0)
    assert verdict.end_of_turn_share == 1
    assert verdict.has_distinct_pad is True
    assert verdict.has_chat_template is True
    assert verdict.supervised_share is not None
    assert 0.2 < verdict.supervised_share < 0.8
    assert sum(verdict.length_histogram.values()) == 200
    assert "".join(piece.text for piece in verdict.first_example).startswith("<|im_start|>user")
    assert [piece.text for piece in verdict.first_example if piece.trained] == [
        "the answer is 0, and the fox jumps 0 times<|im_end|>"
    ]


def with_rows(count: int, broken: dict[str, Any] | str, every: int) -> list[dict[str, Any] | str]:
    rows: list[dict[str, Any] | str] = list(chats(count))
    rows[::every] = [broken] * len(rows[::every])
    return rows


LONG = "the fox " * 600
DEFECTS: dict[str, tuple[list[Any], str, str]] = {
    "rows cut short": (with_rows(100, '{"messages": [{"ro', 10), "broken-rows", "block"),
    "rows that are no objects": (with_rows(100, "[1, 2]", 10), "broken-rows", "block"),
    "empty conversations": (with_rows(100, {"messages": []}, 10), "broken-rows", "block"),
    "unknown roles": (
        with_rows(100, {"messages": [{"role": "narrator", "content": "x"}]}, 10),
        "broken-rows",
        "block",
    ),
    "no role at all": (with_rows(100, {"messages": [{"content": "x"}]}, 10), "broken-rows", "block"),
    "no answer": (with_rows(100, {"messages": [{"role": "user", "content": "x"}]}, 10), "broken-rows", "block"),
    "null content": (
        with_rows(100, {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": None}]}, 10),
        "broken-rows",
        "block",
    ),
    "images": (
        with_rows(100, {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, 10),
        "broken-rows",
        "block",
    ),
    "a few broken rows": (with_rows(100, "{", 50), "broken-rows", "warn"),
    "answers longer than the length": (with_rows(100, chat("q", LONG), 2), "truncation", "block"),
    "some long answers": (with_rows(100, chat("q", "the fox " * 260), 50), "truncation", "warn"),
    "questions that fill the length": (with_rows(100, chat(LONG, "a"), 20), "masked", "block"),
    "next to nothing to learn": ([chat("the fox " * 230 + str(i), "a") for i in range(60)], "unsupervised", "block"),
    "one row many times": ([chat("q", "a")] * 100, "duplicates", "block"),
    "a few duplicates": ([*chats(90), *chats(10)], "duplicates", "warn"),
    "very few rows": (chats(8), "few-examples", "warn"),
    "cloud keys": (with_rows(100, chat("my key?", "use AKIAIOSFODNN7EXAMPLQ please"), 50), "aws-access-key", "block"),
    "repository tokens": (
        with_rows(100, chat("token?", "it is ghp_" + "Zq7TfK2mXw9LrB4nHc8V" + "pYd3Gs6JuE1oAi5v"), 50),
        "github-token",
        "block",
    ),
    "private keys": (with_rows(100, chat("key?", PRIVATE_KEY), 50), "private-key", "block"),
    "passwords in addresses": (
        with_rows(100, chat("db?", "postgres://admin:hunter22@db.corp.io/x"), 50),
        "password-in-address",
        "block",
    ),
    "many e-mail addresses": (
        [chat(f"who {i}?", f"write to person{i}@brightlane.co") for i in range(60)],
        "email",
        "block",
    ),
    "a card number": (with_rows(200, chat("pay?", "use 4539 1488 0343 6467 today"), 150), "card", "warn"),
    "bank accounts": (
        with_rows(200, chat("pay?", "to GB94 BARC 1020 1530 0934 59 please"), 150),
        "iban",
        "warn",
    ),
}


@pytest.mark.parametrize("name", sorted(DEFECTS))
def test_broken_data_is_named_before_training(name: str, write: Write, model: ModelSpec) -> None:
    rows, code, level = DEFECTS[name]
    verdict = check_dataset(write(rows), model, 512)
    found = finding(verdict, code)
    assert found is not None, [one.code for one in verdict.findings]
    assert found.level == level
    assert found.what
    assert found.why
    assert found.fix
    if level == "block":
        assert code in BLOCKING
        lowered = verdict.allowing({code})
        assert not any(one.code == code for one in lowered.blocking)
        assert finding(lowered, code) is not None


def test_lines_of_broken_and_leaking_rows_are_given(write: Write, model: ModelSpec) -> None:
    rows: list[Any] = list(chats(100))
    rows[41] = "{"
    rows[77] = chat("key?", "AKIAIOSFODNN7EXAMPLQ")
    verdict = check_dataset(write(rows), model)
    broken, secret = finding(verdict, "broken-rows"), finding(verdict, "aws-access-key")
    assert broken is not None
    assert broken.lines == (42,)
    assert secret is not None
    assert secret.lines == (78,)
    assert "AKI" not in secret.what, "a finding never repeats the secret"


def test_template_that_refuses_rows_blocks(write: Write, tmp_path: Path) -> None:
    strict = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "{{ m['content'] }}{% endfor %}"
    )
    model = resolve_model(str(save_model(tmp_path / "m", strict)))
    late_system = {"messages": [*chat("q", "a")["messages"], {"role": "system", "content": "s"}]}
    verdict = check_dataset(write([*chats(50), *[late_system] * 5]), model)
    found = finding(verdict, "template")
    assert found is not None
    assert found.level == "block"
    assert found.lines[0] == 51


def test_template_without_end_token(write: Write, tmp_path: Path) -> None:
    bare = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    known = resolve_model(str(save_model(tmp_path / "known", bare)))
    unknown = resolve_model(str(save_model(tmp_path / "unknown", bare, eos_token=None)))
    path = write(chats(60))
    appended = finding(check_dataset(path, known), "no-end-of-turn")
    missing = finding(check_dataset(path, unknown), "no-end-of-turn")
    assert appended is not None
    assert (appended.level, "<|im_end|>" in appended.why) == ("warn", True)
    assert missing is not None
    assert missing.level == "block"


def test_pad_that_is_the_end_token_is_noted(write: Write, tmp_path: Path) -> None:
    model = resolve_model(str(save_model(tmp_path / "m", pad_token="<|im_end|>")))
    verdict = check_dataset(write(chats(60)), model)
    assert verdict.has_distinct_pad is False
    assert finding(verdict, "pad-is-eos") is not None


def test_base_model_without_template_is_noted(write: Write, tmp_path: Path) -> None:
    model = resolve_model(str(save_model(tmp_path / "m", None)))
    verdict = check_dataset(write(chats(60)), model)
    assert verdict.has_chat_template is False
    assert verdict.end_of_turn_share == 1
    assert finding(verdict, "no-template") is not None


def test_damaged_tokenizer_is_told(write: Write, tmp_path: Path) -> None:
    from advisor.base.errors import InputError

    folder = save_model(tmp_path / "m")
    (folder / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(InputError, match=r"tokenizer\.json cannot be used") as refused:
        check_dataset(write(chats(60)), resolve_model(str(folder)))
    assert "not a tokenizer" in refused.value.problems[0].why


def test_evaluation_rows_in_the_training_set(write: Write, model: ModelSpec) -> None:
    held = write(chats(5), "held.jsonl")
    verdict = check_dataset(write(chats(100)), model, eval_source=held)
    assert (verdict.eval_examples, verdict.eval_overlap) == (5, 5)
    found = finding(verdict, "eval-overlap")
    assert found is not None
    assert found.level == "block"


def test_evaluation_rows_of_another_format_are_compared(write: Write, model: ModelSpec) -> None:
    rows = [
        {"prompt": one["messages"][0]["content"], "completion": one["messages"][1]["content"]} for one in chats(7)
    ]
    verdict = check_dataset(write(chats(100)), model, eval_source=write(rows, "held.jsonl"))
    assert verdict.eval_overlap == 7


def test_without_a_tokenizer_the_verdict_says_what_it_could_not_see(write: Write) -> None:
    verdict = check_dataset(write(chats(100)), None, 8)
    assert verdict.counted_rows == 0
    assert verdict.supervised_share is None
    assert verdict.end_of_turn_share is None
    assert verdict.truncated_examples
    assert finding(verdict, "not-tokenised") is not None


def test_missing_packages_are_said_not_hidden(
    write: Write, model: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in ("detect_secrets.core.scan", "stdnum"):
        monkeypatch.setitem(sys.modules, name, None)
    found = finding(check_dataset(write(chats(60)), model), "not-searched")
    assert found is not None
    assert "detect-secrets and python-stdnum" in found.what
    assert found.fix == "pip install detect-secrets python-stdnum"


def test_projected_counts_are_near_the_whole(write: Write, model: ModelSpec) -> None:
    rows = [chat(f"q {i}", "the fox " * (1 + i % 300)) for i in range(1200)]
    path = write(rows)
    whole = check_dataset(path, model, 400, sample_rows=2000)
    part = check_dataset(path, model, 400, sample_rows=300)
    assert part.is_projected
    assert whole.truncated_examples
    assert part.truncated_examples == pytest.approx(whole.truncated_examples, rel=0.1)
    assert part.truncated_tokens == pytest.approx(whole.truncated_tokens, rel=0.15)
    assert part.supervised_share == pytest.approx(whole.supervised_share, rel=0.05)


def test_harmless_numbers_and_addresses_are_left_alone(write: Write, model: ModelSpec) -> None:
    rows = [
        chat(
            f"q {i}",
            f"see user@example.com, order 1234-5678-{i}, pi is 3.14159265358979, year 2024, 4444 4444 4444 4444",
        )
        for i in range(60)
    ]
    verdict = check_dataset(write(rows), model)
    assert [one.code for one in verdict.findings] == []


def test_verdict_is_json(write: Write, model: ModelSpec) -> None:
    import msgspec

    verdict = check_dataset(write(chats(60)), model)
    again = msgspec.json.decode(msgspec.json.encode(verdict), type=DataVerdict)
    assert again == verdict
    assert json.loads(msgspec.json.encode(verdict))["profile"]["num_examples"] == 60


def test_bins_hold_every_example() -> None:
    histogram = {10: 50, 20: 40, 30: 9, 5000: 1}
    bins = binned(histogram, 4)
    assert sum(bins.values()) == 100
    assert max(bins) == 5000
    assert len(bins) <= 5


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """8 bytes a row for duplicates and line numbers each; the rest stays."""
    import tracemalloc

    from advisor.data.scan import scan
    from trainers.examples.source import open_source

    peaks = []
    for count in (5_000, 20_000):
        path = tmp_path / f"{count}.jsonl"
        with path.open("w") as file:
            for i in range(count):
                file.write(json.dumps(chat(f"what is {i}?", f"the answer is {i} " * 10)) + "\n")
        tracemalloc.start()
        found = scan(open_source(str(path)), sample_rows=500)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.usable == count
    assert peaks[1] - peaks[0] < 15_000 * 40


def test_what_the_run_trains_on_decides_what_is_learnt(write: Write, model: ModelSpec) -> None:
    rows = [chat("the fox " * 100 + str(i), "a", "and?", "b") for i in range(60)]
    path = write(rows)
    verdicts = {kind: check_dataset(path, model, 512, loss_on=kind) for kind in get_args(LossOn)}
    shares = {kind: verdict.supervised_share for kind, verdict in verdicts.items()}
    assert shares["completion"] < shares["assistant"] < 0.05 < shares["all"] == 1
    assert finding(verdicts["assistant"], "unsupervised") is not None
    assert finding(verdicts["all"], "unsupervised") is None


def test_a_template_that_leaves_the_answers_out_blocks(write: Write, tmp_path: Path) -> None:
    deaf = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"
    verdict = check_dataset(write(chats(60)), resolve_model(str(save_model(tmp_path / "m", deaf))), 512)
    assert len(verdict.template_refused) == 20
    assert finding(verdict, "template") in verdict.blocking


def test_a_common_problem_does_not_hide_the_rare_ones(write: Write, model: ModelSpec) -> None:
    rows: list[Any] = [{"messages": []}] * 30 + list(chats(100))
    rows += ["[1]", {"messages": [{"role": "narrator", "content": "x"}]}]
    found = finding(check_dataset(write(rows), model), "broken-rows")
    assert found is not None
    for said in ("line 1: no messages", "line 131: a list where", "line 132: unknown role 'narrator'"):
        assert said in found.why


@pytest.mark.parametrize(
    ("broken", "said"), [(1, "1 of 30 rows is broken (3.3 %)"), (2, "2 of 30 rows are broken (6.7 %)")]
)
def test_one_row_is_one_row(write: Write, broken: int, said: str) -> None:
    verdict = check_dataset(write([*chats(30 - broken), *["[1, 2]"] * broken]))
    found = finding(verdict, "broken-rows")
    assert found is not None
    assert found.what == said


def test_a_repeated_call_is_shown_without_marks_of_our_own(write: Write) -> None:
    calls = [{"type": "function", "function": {"name": "look", "arguments": {"at": "the long table in the hall"}}}]
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"q {n}"},
                {"role": "assistant", "content": "", "tool_calls": calls},
            ]
        }
        for n in range(60)
    ]
    found = finding(check_dataset(write(rows)), "repeated-answers")
    assert found is not None
    assert "tool_calls" in found.what
    assert "\\x1d" not in found.what
