"""What the replay reserves, against all that the real modules ask for, played through the same allocator.

The rules of the allocator are a table of their own (test_allocator.py); here its input is on trial: which tensors two
steps make and free, and in which order. The modules are those of transformers and peft on fake tensors.
"""

from __future__ import annotations

import msgspec
import pytest

from advisor.estimate.allocator import SMALL_REQUEST, Allocator, Block
from advisor.estimate.stacks import PEFT_LOOP
from tests.estimate.shapes import estimator

pytestmark = pytest.mark.slow

SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 3584,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 16384,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
STACK = msgspec.structs.replace(PEFT_LOOP, foreach=False)
BATCH, LENGTH = 2, 2048


def reserved_for(requests: list[tuple[int, int]]) -> int:
    """Bytes that the allocator reserves for them, without what lies in small segments."""
    allocator = Allocator()
    held: dict[int, Block] = {}
    for number, size in requests:
        if size > SMALL_REQUEST:
            held[number] = allocator.allocate(size)
        elif not size and number in held:
            allocator.free(held.pop(number))
    return allocator.most_reserved


@pytest.mark.parametrize(
    ("family", "changes", "method", "checkpointing"),
    [
        ("llama", {}, "lora", True),
        ("phi3", {}, "lora", True),
        ("gemma3_text", {"head_dim": 128}, "lora", True),
        ("gpt_neox", {"num_key_value_heads": 8}, "lora", True),
        ("qwen3", {"head_dim": 128}, "full", False),
    ],
)
def test_the_replay_reserves_what_the_real_modules_make_the_allocator_reserve(family, changes, method, checkpointing):
    from peft import LoraConfig
    from transformers import CONFIG_MAPPING

    from tests.estimate import oracle

    config = CONFIG_MAPPING[family](**SHAPE | changes)
    lora = LoraConfig(r=8, target_modules="all-linear") if method == "lora" else None
    real = reserved_for(oracle.requests(oracle.build(config, lora=lora, checkpointing=checkpointing), BATCH, LENGTH))
    adapters = {"lora_rank": 8} if method == "lora" else {}
    ours = estimator(
        config, method, STACK, batch=BATCH, length=LENGTH, gradient_checkpointing=checkpointing, **adapters
    )
    holding = ours._holding()
    assert holding is not None
    played = holding.setting._replace(workspace=0).play(BATCH, LENGTH)
    assert played.reserved == pytest.approx(real, rel=0.05)
