"""Optimizer states, gradients and what the step itself needs, by optimizer and dtype of the trained parameters."""

from __future__ import annotations

from typing import NamedTuple

from advisor.estimate import constants as const

_STATE_VALUES = {
    "adamw_torch_fused": 2,
    "adamw_torch": 2,
    "adamw_8bit": 2,
    "paged_adamw_32bit": 2,
    "paged_adamw_8bit": 2,
    "lion_8bit": 1,
    "sgd": 0,
}
EIGHT_BIT = frozenset(("adamw_8bit", "paged_adamw_8bit", "lion_8bit"))
PAGED = frozenset(("paged_adamw_32bit", "paged_adamw_8bit"))


class States(NamedTuple):
    """Bytes that an optimizer holds for all trained parameters together (before sharding)."""

    device: int
    host: int
    """States in unified memory of a paged optimizer: the driver keeps them in host RAM when the device is full."""
    step: int
    """Temporaries of the step, freed after it."""


def eight_bit_excess(values: int) -> int:
    """Bytes by which one 8-bit state of a small tensor is larger than a byte a value.

    Tensors below 4096 values keep fp32 states. A tensor just above that size is charged what the largest small one
    costs, so that a larger rank never seems to need less.
    """
    return max(0, 4 * min(values, const.SMALL_TENSOR_8BIT - 1) - values)


def optimizer_states(
    optimizer: str,
    trained: int,
    dtype: int,
    *,
    tensors: int,
    largest: int,
    rows_and_columns: int,
    excess: int = 0,
    foreach: bool = False,
    in_backward: bool = False,
) -> States:
    """States of `trained` parameters of `dtype` bytes in `tensors` tensors, the largest of `largest` values.

    torch's AdamW keeps two states in the parameters' dtype and a 4-byte step count a tensor; bitsandbytes keeps fp32
    states, or one byte a value with an fp32 absmax for each 256; small tensors stay fp32, which costs `excess` bytes
    a state more (see `eight_bit_excess`). Adafactor keeps a row and a column vector of each matrix
    (`rows_and_columns` values in all), fp32.
    """
    if optimizer == "adafactor":
        return States(4 * rows_and_columns, 0, 2 * 4 * largest)
    values = _STATE_VALUES[optimizer]
    if optimizer in EIGHT_BIT:
        size = values * (trained + 4 * -(-trained // const.BLOCK8_STATE) + excess)
    elif optimizer in PAGED:
        size = values * 4 * trained
    else:
        size = values * dtype * trained + (4 * tensors if values else 0)
    paged = optimizer in PAGED
    if optimizer == "adamw_torch" and not in_backward:
        step = dtype * (trained if foreach else largest)
    elif paged:
        step = size * largest // max(trained, 1)
    else:
        step = 0
    return States(0 if paged else size, size if paged else 0, step)
