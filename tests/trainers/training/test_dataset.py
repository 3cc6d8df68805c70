import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from trainers.errors import ExamplesError, PlanRefused
from trainers.plan import plan_from_dict
from trainers.training.data_report import verdict
from trainers.training.dataset import PreparedData, prepare, spread

Prepare = Callable[..., PreparedData]


@pytest.fixture
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(str(tiny_model))


@pytest.fixture
def prepared(make_plan: Callable[..., dict[str, Any]], tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> Prepare:
    """Rows (or the real conversations) prepared in a run folder; keyword arguments are plan fields."""

    def build(
        rows: list[Any] | None = None, run: str = "run", dataset: dict[str, Any] | None = None, **fields: Any
    ) -> PreparedData:
        if rows is not None:
            path = tmp_path / "rows.jsonl"
            path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
            fields["dataset"] = {"source": str(path), **(dataset or {})}
        return prepare(plan_from_dict(make_plan(**fields)), tokenizer, tmp_path / run)

    return build


def pair(index: int) -> dict[str, str]:
    return {"prompt": f"Question {index}?", "completion": f"Answer {index}."}


def test_real_conversations_are_tokenised_masked_and_split(prepared: Prepare) -> None:
    data = prepared()
    report = data.report
    assert (report.rows, report.train_examples + report.eval_examples) == (200, 200)
    assert report.eval_examples == 20
    assert len(data.train) == 180
    assert data.eval is not None
    assert len(data.eval) == 20
    assert max(map(len, data.train["input_ids"])) == report.longest <= 128
    assert report.supervised_tokens == sum(label != -100 for row in data.train["labels"] for label in row)
    assert 0 < report.supervised_tokens < report.train_tokens
    assert "180 examples to train on" in verdict(data.report, [])


def test_the_split_does_not_depend_on_the_order_and_keeps_equal_rows_together(prepared: Prepare) -> None:
    rows = [pair(index % 40) for index in range(120)]
    forward = prepared(rows, dataset={"eval_fraction": 0.2}, run="a")
    backward = prepared(rows[::-1], dataset={"eval_fraction": 0.2}, run="b")
    kept = [{json.dumps(example.as_dict()) for example in data.eval_examples(999)} for data in (forward, backward)]
    assert kept[0] == kept[1]
    assert forward.report.eval_examples == 24
    assert forward.eval is not None
    trained = {tuple(ids) for ids in forward.train["input_ids"]}
    assert not trained & {tuple(ids) for ids in forward.eval["input_ids"]}


@pytest.mark.parametrize(("count", "held_back"), [(2, 1), (3, 1), (30, 2)])
def test_something_is_kept_back_and_something_left(prepared: Prepare, count: int, held_back: int) -> None:
    report = prepared([pair(index) for index in range(count)], dataset={"eval_fraction": 0.05}).report
    assert (report.eval_examples, report.train_examples) == (held_back, count - held_back)


def test_copies_of_one_row_are_all_trained_on(prepared: Prepare) -> None:
    report = prepared([pair(1)] * 5).report
    assert (report.eval_examples, report.train_examples) == (0, 5)


def test_an_evaluation_file_of_its_own_is_used_whole(prepared: Prepare, tmp_path: Path) -> None:
    other = tmp_path / "eval.jsonl"
    other.write_text("".join(json.dumps(pair(100 + index)) + "\n" for index in range(7)))
    data = prepared([pair(index) for index in range(9)], dataset={"eval_source": str(other)})
    assert (data.report.train_examples, data.report.eval_examples) == (9, 7)
    assert data.eval_examples(1)[0].messages[0]["content"] == "Question 100?"


def test_a_look_at_some_rows_looks_everywhere_and_text_belongs_to_its_tokens(
    prepared: Prepare, tokenizer: PreTrainedTokenizerBase
) -> None:
    data = prepared([pair(index) for index in range(50)], dataset={"eval_fraction": 0.4})
    rows, examples = data.eval_rows(5), data.eval_examples(5)
    assert rows is not None
    assert len(rows) == len(examples) == 5
    for row, example in zip(rows, examples, strict=True):
        assert example.messages[1]["content"] in tokenizer.decode(row["input_ids"])
    assert spread(100, 4) == [0, 25, 50, 75]
    assert spread(3, 10) == [0, 1, 2]
    assert spread(0, 10) == []


def test_broken_rows_are_counted_and_named_and_the_rest_is_used(prepared: Prepare) -> None:
    half = r'{"prompt": "\ud83d", "completion": "x"}'
    rows: list[Any] = [pair(1), "{oops", pair(2), {"prompt": "only"}, pair(3), half]
    report = prepared(rows, dataset={"eval_fraction": 0.0}).report
    assert (report.rows, report.broken, report.train_examples) == (6, 3, 3)
    assert report.broken_rows[0].startswith("row 2: not valid JSON")
    assert report.broken_rows[1].startswith("row 4: column 'completion' is missing")
    assert report.broken_rows[2].startswith("row 6: holds half a character")


def test_what_is_cut_and_what_is_lost_by_it_is_counted(prepared: Prepare) -> None:
    long_answer = {"prompt": "Hi", "completion": "word " * 200}
    long_question = {"prompt": "word " * 200, "completion": "Hi"}
    report = prepared([long_answer, long_question, pair(1)], dataset={"eval_fraction": 0.0}).report
    assert report.truncated_examples == 2
    assert report.masked_examples == 1
    assert report.train_examples == 2
    assert report.without_end == 1
    assert report.truncated_tokens > 100
    assert report.longest == 128


def test_nothing_left_is_refused_with_the_reasons(prepared: Prepare) -> None:
    with pytest.raises(PlanRefused) as refused:
        prepared([{"prompt": "word " * 300, "completion": "Hi"}, "{oops"], dataset={"format": "prompt_completion"})
    assert "nothing is left to train on" in refused.value.what
    assert "max_seq_len = 128" in refused.value.why
    assert "row 2: not valid JSON" in refused.value.why


def test_an_unknown_format_names_the_columns(prepared: Prepare) -> None:
    with pytest.raises(ExamplesError, match="question, reply"):
        prepared([{"question": "a", "reply": "b"}])


def test_a_second_start_reads_what_is_there_and_a_changed_file_is_read_again(
    make_plan: Callable[..., dict[str, Any]], tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(pair(index)) + "\n" for index in range(10)))
    plan = plan_from_dict(make_plan(dataset={"source": str(source)}))
    prepare(plan, tokenizer, tmp_path / "run")
    written = (tmp_path / "run" / "data" / "train.arrow").stat().st_mtime_ns
    prepare(plan_from_dict(make_plan(dataset={"source": str(source)}, max_steps=99)), tokenizer, tmp_path / "run")
    assert (tmp_path / "run" / "data" / "train.arrow").stat().st_mtime_ns == written
    source.write_text(json.dumps(pair(1)) + "\n" + json.dumps(pair(2)) + "\n")
    assert prepare(plan, tokenizer, tmp_path / "run").report.rows == 2


def test_a_crash_half_way_leaves_no_half_set(
    prepared: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.training import dataset

    def dies(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset._Preparation, "_keep_back", dies)
    with pytest.raises(OSError, match="No space"):
        prepared([pair(index) for index in range(10)])
    assert not (tmp_path / "run" / "data" / "train.arrow").exists()
    monkeypatch.undo()
    assert prepared([pair(index) for index in range(10)]).report.train_examples == 9


def test_a_text_longer_than_the_sequence_is_split_and_none_of_it_is_lost(
    prepared: Prepare, tokenizer: PreTrainedTokenizerBase
) -> None:
    long = "The harbour lies quiet in the morning and the boats come home. " * 40
    data = prepared([{"text": long}, {"text": "A short one."}], dataset={"eval_fraction": 0}, max_seq_len=64)
    whole = tokenizer(long)["input_ids"]
    assert data.report.split_texts == 1
    assert data.report.truncated_tokens == 0
    pieces = data.train["input_ids"][:-1]
    assert len(pieces) == -(-(len(whole) + 1) // 64)
    assert [token for piece in pieces for token in piece][: len(whole)] == whole
    assert all(len(piece) > 32 for piece in pieces)
    assert "split into several" in verdict(data.report, [])


def test_the_run_says_what_is_proven(prepared: Prepare) -> None:
    report = prepared([pair(index) for index in range(30)]).report
    assert report.proof.line == "30 of 30 rows: all 30 answers learnt, nothing else"
    assert report.proof.proven == report.train_examples + report.eval_examples


def test_a_row_that_cannot_be_proven_is_left_out_with_its_reason(prepared: Prepare) -> None:
    called = [{"type": "function", "function": {"name": "find", "arguments": {"item": "lamp"}}}]
    row = {
        "messages": [
            {"role": "user", "content": "Where?"},
            {"role": "assistant", "content": "", "tool_calls": called},
        ]
    }
    report = prepared([*({"messages": [*_talk(index)]} for index in range(30)), row]).report
    assert report.broken == 1
    assert "does not show tool calls" in report.broken_rows[0]
    assert report.proof.unproven == {"calls": 1}


def test_answers_that_the_data_excludes_are_counted_and_not_learnt(prepared: Prepare) -> None:
    rows = [{"messages": [*_talk(index), *_talk(index, weight=0)]} for index in range(10)]
    report = prepared(rows).report
    assert (report.proof.learnt, report.proof.excluded) == (10, 10)


def _talk(index: int, **flags: Any) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": f"Where is {index}?"},
        {"role": "assistant", "content": f"{index} is here.", **flags},
    ]
