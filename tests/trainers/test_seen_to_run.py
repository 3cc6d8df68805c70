"""What was seen to run: each cell of the matrix with the real libraries, against the tables that plans go by."""

from __future__ import annotations

import os
import typing
from pathlib import Path

import pytest

from tests.trainers.plans import full_plan, lora_plan
from tests.trainers.two_processes import SHARDINGS, name_of, observe
from trainers.method import METHODS
from trainers.plan import Optimizer, Sharding
from trainers.seen_to_run import STEPPED, TRIED, was_seen_to_run, was_seen_to_step

PAGE = Path(__file__).parents[2] / "docs" / "optimizer-matrix.md"
OPTIMIZERS: tuple[Optimizer, ...] = typing.get_args(Optimizer)
HEAD = """# Which optimizer steps on what each method trains

Two gloo processes on a CPU, the backends of `trainers/methods/` on a small Llama, the optimizer classes that the
Trainer builds, two steps; replicated by `DistributedDataParallel` (as on one device) or sharded by FSDP2, as by
accelerate. Made by `tests/trainers/test_seen_to_run.py` (`UPDATE_GOLDEN=1` writes it anew); no plan is recommended
whose cell did not run (rule HW-42). On this CPU the paged optimizers run without their pages.
"""
IN_WORDS = {"ddp": "Replicated: one device, or DDP", "fsdp": "Sharded: FSDP2"}


def page(seen: dict[str, str]) -> str:
    tables = "\n".join(f"\n## {IN_WORDS[sharding]}\n\n{table(seen, sharding)}" for sharding in SHARDINGS)
    failures: dict[str, list[str]] = {}
    for cell, words in seen.items():
        if words != "ran":
            failures.setdefault(words, []).append(cell)
    why = [
        f"- {', '.join(sorted({cell.split(',')[0] for cell in cells}))}: `{words}`"
        for words, cells in failures.items()
    ]
    return HEAD + tables + "\n\n## Why cells fail\n\n" + "\n".join(why) + "\n"


def table(seen: dict[str, str], sharding: str) -> str:
    lines = ["| method, weights | " + " | ".join(f"`{each}`" for each in OPTIMIZERS) + " |"]
    lines.append("| --- |" + " --- |" * len(OPTIMIZERS))
    for method, traits in METHODS.items():
        for dtype in sorted(traits.dtypes):
            cells = [seen[name_of(optimizer, method, sharding, dtype)] for optimizer in OPTIMIZERS]
            held = dtype if traits.quantization == "none" else f"{traits.quantization}, rest {dtype}"
            lines.append(
                f"| {method}, {held} | " + " | ".join("ran" if c == "ran" else "fails" for c in cells) + " |"
            )
    return "\n".join(lines)


@pytest.mark.slow
def test_each_cell_of_the_table_is_what_two_processes_see() -> None:
    seen = observe()
    ran = {
        optimizer: frozenset(
            sharding
            for sharding in SHARDINGS
            if all(
                seen[name_of(optimizer, method, sharding, dtype)] == "ran"
                for method, traits in METHODS.items()
                for dtype in traits.dtypes
            )
        )
        for optimizer in OPTIMIZERS
    }
    assert ran == {optimizer: shardings - {"none"} for optimizer, shardings in STEPPED.items()}
    if os.environ.get("UPDATE_GOLDEN"):
        PAGE.write_text(page(seen), "utf-8")
    assert PAGE.read_text("utf-8") == page(seen), "run: UPDATE_GOLDEN=1 pytest tests/trainers/test_seen_to_run.py"


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


def test_a_plan_was_seen_to_run_where_optimizer_sharding_and_number_format_were() -> None:
    two = {"num_gpus": 2, "sharding": "fsdp"}
    assert was_seen_to_run(lora_plan(optimizer="adamw_torch_fused", weights_dtype="fp16", **two))
    assert not was_seen_to_run(lora_plan(optimizer="adamw_8bit", **two))
    assert not was_seen_to_run(lora_plan(optimizer="adamw_torch_fused", num_gpus=2, sharding="zero3"))
    assert not was_seen_to_run(full_plan(weights_dtype="fp16"))
