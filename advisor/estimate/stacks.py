"""Training stacks as data: the switches that decide memory as much as the method does.

`OURS` is the trainer of this project (TRL's SFTTrainer with its fused head). The others describe the stacks of the
published measurements, so that a published figure can be predicted as it was measured. A switch was read in the
source of the stack where that was possible; where it was inferred from the exact bytes of a group of runs, `note`
says so.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from advisor.base.language import later
from advisor.estimate.logits import HeadKind
from advisor.estimate.trained import LowRank, Part
from advisor.estimate.weights import QuantisedStorage

Kernel = Literal["eager", "fused"]
FsdpVersion = Literal["fsdp1", "fsdp2"]
AdapterDtype = Literal["fp32", "compute"]


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Degrees of what our trainer cannot do and others can; 1: not split. GPUs of one group share one micro-batch."""

    tensor: int = 1
    """Each matrix and the vocabulary over this many GPUs, with the residual stream split by tokens between them
    (Korthikanti et al. 2022)."""
    context: int = 1
    """Each sequence over this many GPUs (Ulysses, ring attention)."""
    expert: int = 1
    """Routed experts over this many GPUs, which exchange tokens instead of weights."""

    @property
    def group(self) -> int:
        """GPUs that share one micro-batch."""
        return self.tensor * self.context


WHOLE = Split()


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """How a training program treats memory, apart from what the plan says."""

    name: str
    title: str
    note: str = ""
    autocast: bool = True
    """Matrix products run in compute_dtype under torch.autocast (weights may be wider)."""
    lora_dtype: AdapterDtype = "fp32"
    qlora_dtype: AdapterDtype = "compute"
    sharded_adapter_dtype: AdapterDtype | None = None
    """dtype of adapters under FSDP where it differs."""
    kbit_upcast: bool = False
    """peft's prepare_model_for_kbit_training: embedding, head and norms of a quantised base become fp32."""
    base_storage: QuantisedStorage | None = None
    """Overrides what the plan calls nf4: other 4- and 8-bit formats of published runs."""
    experts_quantised: bool = False
    """Experts are nn.Linear (transformers before 5), so that bitsandbytes quantises them."""
    packs_experts: bool = False
    """Experts held as 3-D parameters are packed too, with plain scales, and unpacked a block at a time."""
    norm_kernel: Kernel = "eager"
    mlp_kernel: Kernel = "eager"
    lora_kernel: Kernel = "eager"
    expand_kv: bool = False
    """Keys and values are repeated to the number of query heads before attention (old sdpa, code of its own)."""
    masked: bool = False
    """sdpa gets an explicit mask where rows are padded, packed or windowed (transformers' masking_utils): every block
    turns it into the compute dtype, keeps it, and repeats keys and values."""
    full_head: HeadKind = "upcast"
    """What loss_kernel = full means in this stack."""
    chunked_head: HeadKind = "tiled"
    liger_head: HeadKind = "liger"
    liger_layers: bool = False
    """loss_kernel = liger switches on Liger's norms and feed-forward parts where it has the family."""
    head_drops_compute: bool = False
    """The compute-dtype logits are freed before the loss is computed."""
    converts_outputs: bool = False
    """accelerate hands the model's output on in fp32 (convert_outputs_to_fp32, under autocast), on one GPU too."""
    outputs_kept: bool = False
    """The model's output, fp32 logits in it, stays referenced during backward."""
    selective_checkpointing: bool = False
    """Checkpointing keeps the attention output and every second matrix product of a block."""
    fused_qkv: bool = False
    """Query, key and value are views of one projection's output."""
    copies_attention: bool = False
    """The output projection copies its input, whose layout the attention kernel took from the queries."""
    lora_keeps_output: bool = False
    """The update of query and value is kept at their full width (LoRA inside one fused projection)."""
    float_norm: bool = False
    """Norms keep the normalised value in fp32 when their weight trains."""
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
    fsdp_accumulates_whole: bool = False
    """Gradients accumulate unsharded (FSDP's no_sync) until the last micro-step."""
    loads_whole: bool = False
    """Every process holds the whole model on its device before it is sharded."""
    fsdp_keeps_input_gradients: bool = False
    """FSDP1 with frozen units keeps the gradient of each block's input to the end of backward."""
    fsdp_scales_sharded: bool = False
    """The scales of quantised matrices are sharded with them (tensor subclasses)."""
    fsdp_outer_split: bool = False
    """Embedding and head are units of their own, so that they are not gathered together."""
    quantised_keeps_input: bool = False
    """A product with a frozen quantised weight keeps its input (bitsandbytes of 2023; fms's fused kernels)."""
    kernels_at_start: bool = False
    """CUDA loads all kernels when the context is made (before lazy loading)."""
    slow_step: bool = False
    """An unfused optimizer step (DeepSpeed in 2023)."""
    own_modules: bool = False
    """Model code of its own: activation functions are single kernels."""
    compiled: bool = False
    """torch.compile on each block: norms and activations are recomputed, casts are fused."""
    fp8: bool = False
    """Matrix products of the blocks in 8-bit floating point, weights kept in 16 bits (torchao, TransformerEngine)."""
    gptq_of_2023: bool = False
    """A GPTQ base is unpacked by AutoGPTQ's CUDA kernels of 2023, a value at a time; else in Triton, whole."""
    split: Split = WHOLE
    """How a model or a sequence is shared besides the plan's sharding."""
    form: str = "lora"
    """The form of a plan's adapters where they are not LoRA (advisor/estimate/forms.py)."""
    part: Part | None = None
    """A full fine-tuning trains a part of the model at a time."""
    low_rank: LowRank | None = None
    """The optimizer keeps its states of projected gradients."""
    state_bytes: float | None = None
    """Bytes of one value of an optimizer state, where it is narrower than any optimizer of a plan keeps."""
    float_embeddings: bool = False
    """Embedding and head that train beside an adapter rest in fp32, with fp32 gradients and states."""
    offloads_checkpoints: bool = False
    """Checkpoints wait in host memory, whatever the plan says of activations."""
    generates: int = 0
    """Rows that an evaluation generates at a time, with their keys and values."""


OURS = Stack(
    name="trl",
    title=later("this project's trainer: TRL 1.16 SFTTrainer, transformers 5, peft 0.21"),
    note="bf16 autocast, fp32 adapters on a 16-bit base, adapters in compute_dtype on a 4-bit base, FSDP2; the loss "
    "in tiles whatever the loss kernel; padded or packed rows, for which sdpa gets an explicit mask",
    masked=True,
    packs_experts=True,
    full_head="tiled",
    liger_head="tiled",
    liger_layers=True,
)

HF_TRAINER = Stack(
    name="hf_trainer",
    title="Hugging Face Trainer with peft, 2023 to 2024",
    note="logits upcast to fp32, shifted by a copy; k-bit preparation; reentrant checkpointing; multi-tensor AdamW",
    qlora_dtype="fp32",
    kbit_upcast=True,
    experts_quantised=True,
    full_head="upcast_shift",
    converts_outputs=True,
    foreach=True,
    recompute_output=True,
    fsdp="fsdp1",
    fsdp_keeps_input_gradients=True,
)

FMS = msgspec.structs.replace(
    HF_TRAINER,
    name="fms",
    title="fms-hf-tuning: Trainer with fms-acceleration's quantised peft",
    note="no k-bit preparation; under FSDP the adapters are 16-bit replicas (exact bytes of 60 sharded runs)",
    kbit_upcast=False,
    sharded_adapter_dtype="compute",
    adapters_sharded=False,
)

FMS_FUSED = msgspec.structs.replace(
    FMS,
    name="fms_fused",
    title="fms-hf-tuning with Triton kernels: norm, rotary positions, cross-entropy in place",
    note="the loss writes its gradient over the shifted logits; adapters of quantised bases are fused",
    norm_kernel="fused",
    full_head="in_place",
)

PEFT_LOOP = Stack(
    name="peft_loop",
    title="peft's method comparison: a plain loop over transformers",
    note="no autocast, fp32 adapters on a bf16 base",
    autocast=False,
    qlora_dtype="fp32",
    kbit_upcast=True,
    experts_quantised=True,
    foreach=True,
)

TORCHTUNE = Stack(
    name="torchtune",
    own_modules=True,
    title="torchtune recipes",
    note="everything in bf16, adapters too; keys and values expanded; logits upcast whole or in eight chunks",
    expand_kv=True,
    fsdp_scales_sharded=True,
    fsdp_outer_split=True,
    autocast=False,
    lora_dtype="compute",
    qlora_dtype="compute",
    experts_quantised=True,
    chunked_head="chunked",
    foreach=True,
    fsdp_fp32_master=False,
)

LITGPT = Stack(
    name="litgpt",
    own_modules=True,
    title="litgpt finetune recipes",
    note="bf16-true; logits in a list of 128-token chunks; one fused projection; gradients accumulate",
    full_head="chunk_list",
    chunked_head="chunk_list",
    fused_qkv=True,
    quantised_keeps_input=True,
    copies_attention=True,
    lora_keeps_output=True,
    float_norm=True,
    gradients_kept=True,
    loads_whole=True,
    fsdp_accumulates_whole=True,
    autocast=False,
    lora_dtype="compute",
    qlora_dtype="compute",
    experts_quantised=True,
    expand_kv=True,
    foreach=True,
    fsdp="fsdp1",
    fsdp_fp32_master=False,
)

FSDP_QLORA = Stack(
    name="fsdp_qlora",
    title="fsdp_qlora train.py",
    note="pure bf16, FSDP1, non-reentrant checkpointing; the output with its fp32 logits lives through backward",
    expand_kv=True,
    outputs_kept=True,
    autocast=False,
    lora_dtype="compute",
    qlora_dtype="compute",
    experts_quantised=True,
    full_head="upcast_shift",
    foreach=True,
    fsdp="fsdp1",
    fsdp_fp32_master=False,
)

TORCHTITAN = Stack(
    name="torchtitan",
    own_modules=True,
    title="torchtitan (pre-training)",
    note="FSDP2, fp32 shards, bf16 compute by its mixed-precision policy; fused AdamW",
    full_head="upcast",
)

UNSLOTH = Stack(
    name="unsloth",
    title="Unsloth-like: fused kernels, checkpoints in host memory, cut cross-entropy",
    norm_kernel="fused",
    mlp_kernel="fused",
    lora_kernel="fused",
    qlora_dtype="fp32",
    experts_quantised=True,
    full_head="in_place",
    liger_head="cut",
    offloads_checkpoints=True,
)

MS_SWIFT = msgspec.structs.replace(
    HF_TRAINER,
    converts_outputs=False,
    name="ms_swift",
    title="ms-swift 1 and 2 on the Hugging Face Trainer",
)

QWEN_2023 = msgspec.structs.replace(
    HF_TRAINER,
    kernels_at_start=True,
    converts_outputs=False,
    name="qwen_2023",
    title="Qwen's finetune.py of 2023 on the Hugging Face Trainer",
)

DEEPSPEED = msgspec.structs.replace(
    HF_TRAINER,
    name="deepspeed",
    title="Trainer with DeepSpeed ZeRO",
    note="DeepSpeed casts the model: no autocast, adapters in the compute dtype",
    autocast=False,
    lora_dtype="compute",
    qlora_dtype="compute",
    kbit_upcast=False,
    converts_outputs=False,
)

PROFILES: tuple[Stack, ...] = (
    OURS,
    HF_TRAINER,
    FMS,
    FMS_FUSED,
    PEFT_LOOP,
    TORCHTUNE,
    LITGPT,
    FSDP_QLORA,
    TORCHTITAN,
    UNSLOTH,
    MS_SWIFT,
    QWEN_2023,
    DEEPSPEED,
)
BY_NAME: dict[str, Stack] = {stack.name: stack for stack in PROFILES}
