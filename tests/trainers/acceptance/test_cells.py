"""The matrix: every cell a plan, each other than the first in something, for every kind of device."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.trainers.plans import full_plan, lora_plan
from trainers.acceptance.cells import BASE, EXACT, ROUNDED, ROUNDED_16, cells

EVERYTHING = ("flash_attn", "liger_kernel", "bitsandbytes")


@pytest.mark.parametrize(
    ("accelerator", "installed", "cards", "expected"),
    [
        ("cpu", (), 0, {"lora in bf16"}),
        ("cpu", EVERYTHING, 0, {"qlora", "full, 8-bit states"}),
        ("cuda", EVERYTHING, 1, {"FlashAttention 2", "Liger kernels", "activations in RAM", "full in fp32"}),
        ("cuda", EVERYTHING, 2, {"two cards", "full in shards"}),
        ("mps", (), 1, {"full", "packed", "prefix", "bottleneck adapters", "dora"}),
    ],
)
def test_what_can_be_tried_on_a_device_is_in_its_matrix(
    accelerator: Any, installed: Sequence[str], cards: int, expected: set[str]
) -> None:
    found = {cell.name: cell for cell in cells(lora_plan(accelerator=accelerator), installed, cards)}
    assert expected <= found.keys()
    assert {cell.plan.accelerator for cell in found.values()} == {accelerator}
    assert ("two cards" in found) == (cards > 1)
    assert ("qlora" in found) == ("bitsandbytes" in installed)
    if accelerator == "cpu":
        assert not {"FlashAttention 2", "Liger kernels", "activations in RAM"} & found.keys()


def test_every_cell_makes_as_many_steps_and_only_claims_of_its_precision() -> None:
    for dtype, near in (("fp32", ROUNDED), ("bf16", ROUNDED_16)):
        found = cells(lora_plan(compute_dtype=dtype, weights_dtype=dtype), EVERYTHING, 2)
        assert len({cell.name for cell in found}) == len(found)
        assert {cell.plan.max_steps for cell in found} == {found[0].plan.max_steps}
        assert {cell.plan.global_batch_size for cell in found} == {4}
        assert {cell.like for cell in found if cell.like} == {BASE}
        assert {cell.within for cell in found if cell.like} == {EXACT, near}


def test_the_matrix_does_not_depend_on_the_method_of_the_plan_it_is_made_from() -> None:
    lora, full = (cells(plan, EVERYTHING) for plan in (lora_plan(learning_rate=1e-5), full_plan()))
    assert lora == full
