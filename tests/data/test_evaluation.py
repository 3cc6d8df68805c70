"""An evaluation set is looked at as the training set is: rows that the run would leave out are named before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from advisor.data.check import check_dataset
from advisor.data.verdict import DataVerdict


def chat(number: int) -> dict[str, Any]:
    turns = [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": f"a{number}"}]
    return {"messages": turns}


def judged(folder: Path, held: list[dict[str, Any]]) -> DataVerdict:
    for name, rows in (("train.jsonl", [chat(number) for number in range(60)]), ("held.jsonl", held)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return check_dataset(str(folder / "train.jsonl"), eval_source=str(folder / "held.jsonl"))


def eval_rows(verdict: DataVerdict) -> list[tuple[str, tuple[int, ...]]]:
    return [(finding.level, finding.lines) for finding in verdict.findings if finding.code == "eval-rows"]


def test_rows_that_can_be_used_are_no_finding(tmp_path: Path) -> None:
    assert eval_rows(judged(tmp_path, [chat(100), chat(101)])) == []


def test_some_that_cannot_warn_and_all_that_cannot_block(tmp_path: Path) -> None:
    silent = {"messages": [{"role": "user", "content": "q"}]}
    assert eval_rows(judged(tmp_path, [chat(100), silent])) == [("warn", (2,))]
    verdict = judged(tmp_path, [silent, silent])
    assert eval_rows(verdict) == [("block", (1, 2))]
    assert verdict.verdict == "blocked"


def test_rows_that_are_trained_on_too_are_counted_each_time(tmp_path: Path) -> None:
    silent = {"messages": [{"role": "user", "content": "q"}]}
    verdict = judged(tmp_path, [chat(1), chat(1), chat(100), silent])
    assert (verdict.eval_examples, verdict.eval_overlap) == (3, 2)
