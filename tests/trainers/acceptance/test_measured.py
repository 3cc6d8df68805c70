"""A measured row reads, in the benchmark of published rows, as the plan that was run."""

import csv
import io
from pathlib import Path

import pytest

from tests.benchmarks.published import express
from tests.trainers.plans import lora_plan
from trainers.acceptance.cells import cells
from trainers.acceptance.measured import COLUMNS, as_csv
from trainers.acceptance.outcomes import Outcome
from trainers.plan import ModelRef

GIB = 1024**3
READ = (
    "method", "quantization", "compute_dtype", "optimizer", "micro_batch_size", "gradient_accumulation_steps",
    "gradient_checkpointing", "activation_offload", "attention", "num_gpus", "sharding", "optimizer_in_backward",
    "use_dora", "lora_rank", "lora_targets",
)  # fmt: skip
MATRIX = cells(
    lora_plan(model=ModelRef(name="Qwen/Qwen3-0.6B", num_params=596_049_920), accelerator="cuda"),
    ("flash_attn", "liger_kernel", "bitsandbytes"),
    2,
)


def written(allocated: int | None = GIB, peak: int | None = 2 * GIB) -> list[dict[str, str]]:
    runs = [
        (cell.plan, Outcome(name=cell.name, state="ok", peak_bytes=peak, allocated_bytes=allocated))
        for cell in MATRIX
    ]
    table = as_csv(runs, model="Qwen/Qwen3-0.6B", device="H100-80GB", longest_tokens=177, note="torch 2; 2026-11-30")
    return list(csv.DictReader(io.StringIO(table)))


@pytest.mark.parametrize("place", range(len(MATRIX)), ids=[cell.name for cell in MATRIX])
def test_a_row_reads_as_its_plan(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # as the benchmark sets it
    cell, row = MATRIX[place], written()[place]
    if cell.plan.method == "adapter":
        pytest.skip("the table of published runs has no bottleneck adapters")
    if cell.plan.method == "prefix":
        pytest.skip("the table of published runs counts a prefix by its parameters")
    run = express(row)
    assert {name: getattr(run.plan, name) for name in READ} == {name: getattr(cell.plan, name) for name in READ}
    assert run.measured == {"allocated": GIB, "device": 2 * GIB}
    assert run.plan.max_seq_len == (cell.plan.max_seq_len if cell.plan.packing else 177)


def test_the_columns_are_those_of_the_table_and_what_was_not_measured_has_no_row() -> None:
    assert tuple(written()[0]) == COLUMNS
    assert written(peak=None) == []
    assert {row["what_is_reported"] for row in written(allocated=None)} == {"resident"}


def test_the_columns_stay_those_of_the_published_rows() -> None:
    published = Path(__file__).parents[2] / "benchmarks" / "measured" / "memory_measurements.csv"
    with published.open(encoding="utf-8") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS
