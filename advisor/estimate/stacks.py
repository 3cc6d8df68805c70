"""Training stacks as data: the switches that decide memory as much as the method does.

`OURS` is the trainer of this project (TRL's SFTTrainer with its fused head). The others describe the stacks of the
published measurements, so that a published figure can be predicted as it was measured. Every switch was read in the
source of the stack at the time of the measurement; where it was inferred from the figures, the note says so.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kernel = Literal["eager", "fused"]
Head = Literal[
    "trl_fused",
    "upcast_shift",
    "upcast",
    "compute_shift",
    "in_place_shift",
    "in_place",
    "upcast_retained",
    "liger",
    "chunked",
    "none",
]
FsdpVersion = Literal["fsdp1", "fsdp2"]
BaseStorage = Literal["nf4", "int8", "gptq_int4", "gptq_int8", "awq_int4"]
AdapterDtype = Literal["fp32", "compute"]


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """How a training program treats memory, apart from what the plan says."""

    name: str
    title: str
    note: str = ""
    autocast: bool = True
    """Matrix products run in compute_dtype under torch.autocast (weights may be wider)."""
    lora_dtype: AdapterDtype = "fp32"
    qlora_dtype: AdapterDtype = "compute"
    kbit_upcast: bool = False
    """peft's prepare_model_for_kbit_training: embedding, head and norms of a quantised base become fp32."""
    base_storage: BaseStorage | None = None
    """Overrides what the plan calls nf4: other 4- and 8-bit formats of published runs."""
    experts_quantised: bool = False
    """Experts are nn.Linear (transformers before 5), so that bitsandbytes quantises them."""
    norm_kernel: Kernel = "eager"
    mlp_kernel: Kernel = "eager"
    lora_kernel: Kernel = "eager"
    expand_kv: bool = False
    """Keys and values are repeated to the number of query heads before attention (padded batches, old sdpa)."""
    full_head: Head = "upcast"
    """What loss_kernel = full means in this stack."""
    chunked_head: Head = "trl_fused"
    liger_head: Head = "liger"
    recompute_output: bool = False
    """Reentrant checkpointing keeps the output of the recomputed block beside its gradient."""
    foreach: bool = False
    """Multi-tensor AdamW: one temporary as large as the trained parameters in the optimizer step."""
    gradients_kept: bool = False
    """Gradients stay allocated between steps (zeroed, not freed)."""
    fsdp: FsdpVersion = "fsdp2"
    fsdp_fp32_master: bool = True
    """FSDP keeps its shards in fp32 when a 16-bit model is trained in full under mixed precision."""
    adapters_sharded: bool = True
    fsdp1_keeps_input_gradients: bool = False
    """FSDP1 with frozen units keeps the gradient of each block's input to the end of backward."""
    compiled: bool = False
    """torch.compile on each block: fewer saved tensors."""
    load_extra: Literal["none", "init_copy"] = "none"
    sequential_load: bool = True


OURS = Stack(
    name="trl",
    title="this project's trainer: TRL 1.16 SFTTrainer, transformers 5, peft 0.21",
    full_head="upcast",
    note="bf16 autocast, fp32 adapters on a 16-bit base, adapters in compute_dtype on a 4-bit base, FSDP2",
)

HF_TRAINER = Stack(
    name="hf_trainer",
    title="Hugging Face Trainer, 2024: logits upcast to fp32 and shifted by a copy",
    qlora_dtype="fp32",
    kbit_upcast=True,
    experts_quantised=True,
    full_head="upcast_shift",
    foreach=True,
    recompute_output=True,
    fsdp="fsdp1",
    fsdp1_keeps_input_gradients=True,
)

PROFILES: tuple[Stack, ...] = (OURS, HF_TRAINER)
BY_NAME: dict[str, Stack] = {stack.name: stack for stack in PROFILES}
