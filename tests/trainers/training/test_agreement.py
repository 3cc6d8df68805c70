"""What the check says of a dataset is what the training process makes of it, number by number."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from advisor.base.errors import InputError
from advisor.data.check import check_dataset
from advisor.data.verdict import DataVerdict
from advisor.model import resolve_model
from advisor.model.spec import ModelSpec
from trainers.errors import ExamplesError, PlanRefused
from trainers.plan import plan_from_dict
from trainers.training.data_report import DataReport
from trainers.training.dataset import prepare

FIXTURES = Path(__file__).parents[2] / "fixtures" / "data"
FILES = sorted(path for path in FIXTURES.iterdir())
GENERATED = int(os.environ.get("AGREEMENT_FILES", "25"))
"""Generated datasets of about 20 rows; 5,000 of them are a hundred thousand rows."""
ODD: list[Any] = [None, True, 0, -1.5, "", " ", "x", [], {}, [[]], {"a": [1]}, "[", '{"role": 1}', [None], 10**30]

Train = Callable[[Path], DataReport]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> ModelSpec:
    return resolve_model(str(tiny_model))


@pytest.fixture
def train(make_plan: Callable[..., dict[str, Any]], tiny_model: Path, tmp_path: Path) -> Train:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(tiny_model))

    def run(source: Path) -> DataReport:
        dataset = {"source": str(source), "eval_fraction": 0.0}
        plan = plan_from_dict(make_plan(dataset=dataset, max_seq_len=4096))
        return prepare(plan, tokenizer, tmp_path / f"run-{source.name}").report

    return run


def check(source: Path, model: ModelSpec) -> DataVerdict | None:
    """The verdict, None for data that is refused."""
    try:
        return check_dataset(str(source), model, 4096, look_for_leaks=False)
    except InputError as refusal:
        assert all(problem.what and problem.fix for problem in refusal.problems)
        return None


def assert_agreed(source: Path, model: ModelSpec, train: Train) -> None:
    verdict = check(source, model)
    try:
        report = train(source)
    except (ExamplesError, PlanRefused):
        report = None
    if verdict is None or report is None:
        # One example alone is refused by the check; the training process would train on it.
        assert report is None or report.rows - report.broken - report.excluded <= 1
        assert verdict is None or not verdict.counted_rows or verdict.fully_masked == verdict.profile.num_examples
        return
    profile = verdict.profile
    refused = profile.num_examples - verdict.counted_rows
    assert report.format == profile.format
    assert report.rows == profile.num_examples + profile.num_broken + profile.num_excluded
    assert report.excluded == profile.num_excluded
    assert report.eval_examples == (verdict.eval_examples or 0)
    assert report.broken == profile.num_broken + refused
    assert report.train_examples == verdict.counted_rows - (verdict.fully_masked or 0)
    assert report.train_sequences == (verdict.sequences or 0) - (verdict.fully_masked or 0)
    assert verdict.proof == report.proof
    assert verdict.eval_proof == report.eval_proof
    if not refused and not verdict.fully_masked:
        assert report.train_tokens == profile.total_tokens
        assert report.supervised_tokens == profile.completion_tokens


@pytest.mark.parametrize("source", FILES, ids=lambda path: path.name)
def test_every_input_means_the_same_to_both(source: Path, model: ModelSpec, train: Train) -> None:
    assert_agreed(source, model, train)


@pytest.mark.parametrize("weights", [("", ""), (":0.3", ":0.7")])
def test_a_mixture_means_the_same_to_both(
    weights: tuple[str, str], model: ModelSpec, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FIXTURES)
    names = ("question_answer.jsonl", "semicolon.csv")
    assert_agreed(Path(" ".join(name + weight for name, weight in zip(names, weights, strict=True))), model, train)


def generated(chooser: random.Random, folder: Path) -> Path:
    """A dataset of about 20 rows of some fixture, with odd values put anywhere, as a file or a folder of them."""
    rows = rows_of(chooser.choice([path for path in FILES if path.suffix.lower() == ".jsonl"]))
    kept = [copy.deepcopy(chooser.choice(rows)) for _ in range(20)]
    for row in kept:
        if chooser.random() < 0.4:
            spoil(row, chooser)
    name = chooser.choice(["a.jsonl", "a.json", "A.JSONL", "train.jsonl"])
    write(folder / name, kept)
    if chooser.random() < 0.3:
        write(folder / chooser.choice(["test.jsonl", "dataset_info.json", "b.csv"]), kept[:5])
    return folder if chooser.random() < 0.5 else folder / name


def rows_of(path: Path) -> list[Any]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [json.loads(line) for line in lines[:60] if line.startswith('{"')] or [{"text": "x"}]


def write(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(json.dumps(rows) if path.suffix == ".json" else lines, encoding="utf-8")


def spoil(value: Any, chooser: random.Random) -> None:
    """Puts an odd value somewhere inside a list or an object."""
    places: Iterator[Any] = iter(value.items() if isinstance(value, dict) else enumerate(value))
    found = list(places)
    if not found:
        return
    key, inner = chooser.choice(found)
    if isinstance(inner, list | dict) and inner and chooser.random() < 0.75:
        spoil(inner, chooser)
    else:
        value[key] = copy.deepcopy(chooser.choice(ODD))


def test_generated_rows_and_folders_mean_the_same_to_both(tmp_path: Path, model: ModelSpec, train: Train) -> None:
    for seed in range(GENERATED):
        source = generated(random.Random(seed), tmp_path / f"set-{seed}")
        try:
            assert_agreed(source, model, train)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {source}") from error
