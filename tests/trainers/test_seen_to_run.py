"""What was seen to run: each cell of the matrix with the real libraries, against the table that plans go by."""

from __future__ import annotations

import os
import typing
from pathlib import Path

import pytest

from tests.trainers.two_processes import PRECISIONS, SHARDINGS, observe
from trainers.plan import Optimizer, Sharding
from trainers.seen_to_run import STEPPED, TRIED, was_seen_to_step

PAGE = Path(__file__).parents[2] / "docs" / "optimizer-matrix.md"
OPTIMIZERS: tuple[Optimizer, ...] = typing.get_args(Optimizer)
HEAD = """# Which optimizer steps on which parameters

Two gloo processes on a CPU, the optimizer classes that the Trainer builds, two steps on one layer that
`DistributedDataParallel` replicates or FSDP2 shards. Made by `tests/trainers/test_seen_to_run.py`
(`UPDATE_GOLDEN=1` writes it anew); no plan is recommended whose cell did not run (rule HW-42).

"""


def page(seen: dict[str, str]) -> str:
    columns = [f"{sharding}, {precision}" for sharding in SHARDINGS for precision in PRECISIONS]
    lines = ["| optimizer | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for optimizer in OPTIMIZERS:
        cells = [seen[f"{optimizer}, {column}"] for column in columns]
        lines.append(f"| `{optimizer}` | " + " | ".join("ran" if each == "ran" else "fails" for each in cells) + " |")
    failures: dict[str, list[str]] = {}
    for cell, words in seen.items():
        if words != "ran":
            failures.setdefault(words, []).append(cell)
    why = [f"- {'; '.join(cells)}: `{words}`" for words, cells in failures.items()]
    return HEAD + "\n".join(lines) + "\n\n## Why cells fail\n\n" + "\n".join(why) + "\n"


@pytest.mark.slow
def test_each_cell_of_the_table_is_what_two_processes_see() -> None:
    seen = observe()
    ran = {
        optimizer: frozenset(s for s in SHARDINGS if all(seen[f"{optimizer}, {s}, {p}"] == "ran" for p in PRECISIONS))
        for optimizer in OPTIMIZERS
    }
    assert ran == {optimizer: shardings - {"none"} for optimizer, shardings in STEPPED.items()}
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page(seen), "utf-8")
    assert PAGE.read_text("utf-8") == page(seen)


def test_every_optimizer_of_a_plan_has_a_row_and_a_row_claims_only_what_was_tried() -> None:
    assert STEPPED.keys() == set(OPTIMIZERS)
    assert all(shardings <= TRIED for shardings in STEPPED.values())


def test_one_device_holds_parameters_as_data_parallel_does() -> None:
    assert all(("none" in shardings) == ("ddp" in shardings) for shardings in STEPPED.values())


def test_what_was_never_tried_is_not_known() -> None:
    untried: tuple[Sharding, ...] = ("zero2", "zero3")
    assert {was_seen_to_step("adamw_8bit", sharding) for sharding in untried} == {None}
    assert was_seen_to_step("adamw_8bit", "fsdp") is False
    assert was_seen_to_step("adamw_torch_fused", "fsdp") is True
