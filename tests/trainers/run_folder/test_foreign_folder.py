"""A run folder from a stranger, or one that a crash has mixed up: reported and scanned as far as it goes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.handover.report import write_report
from trainers.run_folder.checkpoint import checkpoint_problems, scan
from trainers.run_folder.metrics import losses_to_repeat, read_metrics
from trainers.run_folder.record import is_finished, read_record
from trainers.run_folder.summary import summarise

KEPT = Path(__file__).parents[2] / "fixtures" / "fuzz"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


def lay_out(folder: Path, parts: dict[str, Any]) -> None:
    """The files of a run folder; a part that is missing is a file that holds `null`."""
    checkpoint = folder / "checkpoints" / "checkpoint-10"
    checkpoint.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(parts.get("run.json")))
    rows = parts.get("metrics")
    lines = [json.dumps(row) for row in rows] if isinstance(rows, list) else [json.dumps(rows)]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    (folder / "samples.json").write_text(json.dumps(parts.get("samples")))
    (checkpoint / "trainer_state.json").write_text(json.dumps(parts.get("state")))


def read_all(folder: Path) -> None:
    read_record(folder / "run.json")
    is_finished(folder)
    write_report(folder)
    summarise(folder)
    losses_to_repeat(folder, 1)
    for found in scan(folder):
        assert found.problems
        assert found.loss is None or isinstance(found.loss, float)


@pytest.mark.parametrize("case", sorted(KEPT.glob("fuzz-runfolder-*")), ids=lambda case: case.name[-6:])
def test_a_folder_that_once_stopped_the_report_is_reported(case: Path, tmp_path: Path) -> None:
    lay_out(tmp_path, json.loads(case.read_bytes()))
    read_all(tmp_path)


RECORD_KEYS = (
    "memory",
    "losses",
    "tokens_per_second",
    "parameters",
    "failure",
    "seconds",
    "method",
    "exit_state",
    "scores",
    "delivered",
    "data",
)
METRIC_KEYS = ("step", "loss", "eval_loss", "grad_norm", "memory_bytes", "total_steps")


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(RECORD_KEYS), VALUES, max_size=4),
    st.lists(st.dictionaries(st.sampled_from(METRIC_KEYS), VALUES, max_size=4), max_size=4),
    st.fixed_dictionaries({}, optional={"samples": VALUES}),
    st.fixed_dictionaries({}, optional={"log_history": VALUES, "global_step": VALUES}),
)
def test_any_values_are_reported(
    tmp_path_factory: pytest.TempPathFactory, record: Any, metrics: Any, samples: Any, state: Any
) -> None:
    folder = tmp_path_factory.mktemp("run")
    lay_out(folder, {"run.json": record, "metrics": metrics, "samples": samples, "state": state})
    read_all(folder)


def test_what_is_of_its_own_type_is_kept(tmp_path: Path) -> None:
    record = {"method": "lora", "memory": {"measured_peak_bytes": 5, "more": [1]}, "steps": "many", "own": {"a": 1}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    del record["steps"]
    assert read_record(tmp_path / "run.json") == record


def test_a_torn_byte_in_the_metrics_costs_its_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1, "loss": 2.5}\n{"step": 2, "lo\xc3\n[1]\n{"step": 3}\n')
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 3]


def test_a_seal_names_only_files_of_its_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    checkpoint = tmp_path / "checkpoint-1"
    checkpoint.mkdir()
    for name in ("../secret", "/etc/passwd"):
        seal = {"step": 1, "world_size": 1, "files": {name: {"bytes": 1}}}
        (checkpoint / "COMPLETE.json").write_text(json.dumps(seal))
        assert checkpoint_problems(checkpoint) == ["COMPLETE.json names a file outside of the checkpoint"]
