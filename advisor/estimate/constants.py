"""The measured and chosen constants of the estimators, with what each means and where it comes from.

A constant is either a fact of a format or an implementation (read in a source), or it was measured over a whole
group of published runs, and then says over which. None is fitted to a single run. README.md beside this file shows
them as a table; a test keeps the two equal.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["format", "implementation", "measured", "assumed"]

MIB = 1024**2
GIB = 1024**3


class Constant(NamedTuple):
    """One row of the table."""

    name: str
    value: float
    unit: str
    kind: Kind
    meaning: str
    source: str


CONSTANTS: list[Constant] = []


def whole(name: str, value: int, unit: str, kind: Kind, meaning: str, source: str) -> int:
    """Register a whole number and return it."""
    CONSTANTS.append(Constant(name, value, unit, kind, meaning, source))
    return value


def share(name: str, value: float, unit: str, kind: Kind, meaning: str, source: str) -> float:
    """Register a fraction and return it."""
    CONSTANTS.append(Constant(name, value, unit, kind, meaning, source))
    return value


# --- storage formats ---------------------------------------------------------------------------------------------

NF4_BLOCK = whole(
    "NF4_BLOCK", 64, "weights", "format", "weights that share one absmax in NF4", "bitsandbytes Params4bit default"
)
NF4_ABSMAX_BLOCK = whole(
    "NF4_ABSMAX_BLOCK",
    256,
    "absmax values",
    "format",
    "absmax values that share one fp32 scale under double quantisation",
    "bitsandbytes quantize_4bit(compress_statistics=True)",
)
NF4_MODULE_BYTES = whole(
    "NF4_MODULE_BYTES",
    64 + 1024 + 4,
    "bytes per linear",
    "format",
    "code tables and offset that every 4-bit linear holds (16 and 256 fp32 values, one fp32)",
    "bitsandbytes QuantState; equal to real bitsandbytes on a CPU to the byte",
)
GPTQ_GROUP = whole(
    "GPTQ_GROUP",
    128,
    "weights",
    "format",
    "weights that share one scale and zero point",
    "published GPTQ checkpoints",
)
BLOCK8_STATE = whole(
    "BLOCK8_STATE",
    256,
    "values",
    "format",
    "values that share one fp32 absmax in an 8-bit optimizer state",
    "bitsandbytes optimizer, blockwise",
)
SMALL_TENSOR_8BIT = whole(
    "SMALL_TENSOR_8BIT",
    4096,
    "values",
    "implementation",
    "tensors below this keep fp32 states in an 8-bit optimizer",
    "bitsandbytes optimizer min_8bit_size",
)
SAFETENSORS_HEADER_BASE = whole(
    "SAFETENSORS_HEADER_BASE", 8, "bytes", "format", "length field before the JSON header", "safetensors format"
)

# --- a batch -----------------------------------------------------------------------------------------------------

BATCH_TOKEN_BYTES = whole(
    "BATCH_TOKEN_BYTES",
    24,
    "bytes per token",
    "implementation",
    "token id, label and mask of one token on the device",
    "transformers' and TRL's collators, which make three int64 tensors",
)
EVALUATION_HEAD_THIRDS = whole(
    "EVALUATION_HEAD_THIRDS",
    2,
    "thirds of the head's training peak",
    "assumed",
    "what the head takes without gradients",
    "of fp32 logits, log-softmax and gradient the last is missing (logits.py); taken for the other heads too",
)
EVALUATION_BLOCK_PARTS = whole(
    "EVALUATION_BLOCK_PARTS",
    2,
    "divides the widest block's worst moment",
    "assumed",
    "what a block takes without gradients",
    "values without their gradients: half",
)

# --- libraries ---------------------------------------------------------------------------------------------------

CUBLAS_WORKSPACE_BYTES = whole(
    "CUBLAS_WORKSPACE_BYTES",
    8_519_680,
    "bytes per handle",
    "implementation",
    "workspace that torch allots to cuBLAS below compute capability 9.0 (:4096:2:16:8)",
    "ATen/cuda/CublasHandlePool; twice this is the remainder of the steady bytes of one-GPU fms runs, within 0.1 MB",
)
CUBLAS_WORKSPACE_HOPPER_BYTES = whole(
    "CUBLAS_WORKSPACE_HOPPER_BYTES",
    33_554_432,
    "bytes per handle",
    "implementation",
    "the same from compute capability 9.0 on (:4096:8)",
    "ATen/cuda/CublasHandlePool",
)
CUBLAS_HANDLES = whole(
    "CUBLAS_HANDLES",
    2,
    "handles",
    "implementation",
    "one for the forward thread and one for the autograd thread",
    "ATen/cuda/CublasHandlePool",
)
TRL_TILE_TOKENS = whole(
    "TRL_TILE_TOKENS",
    4096,
    "tokens",
    "implementation",
    "rows of a tile of TRL's fused head",
    "trl 1.16 fused LM head",
)
TRL_TILE_CPU_COPIES = share(
    "TRL_TILE_CPU_COPIES",
    8.5,
    "fp32 tiles",
    "measured",
    "copies of a tile that the head's fallback on a CPU holds",
    "peaks of 1090 MiB at 1024 tokens and 4328 MiB at 8192, vocabulary 49152",
)
CHUNKS = whole(
    "CHUNKS", 8, "chunks", "implementation", "chunks of the chunked loss", "torchtune CEWithChunkedOutputLoss"
)
TRL_TILE_VOCAB = whole(
    "TRL_TILE_VOCAB", 32768, "rows", "implementation", "columns of that tile", "trl 1.16 fused LM head"
)
ZERO_BUCKET_VALUES = whole(
    "ZERO_BUCKET_VALUES",
    200_000_000,
    "values",
    "implementation",
    "a reduce bucket of ZeRO; two of them under overlap_comm",
    "the 2e8 of the DeepSpeed configs that ship with the trainers",
)
ZERO_SUB_GROUP_VALUES = whole(
    "ZERO_SUB_GROUP_VALUES",
    1_000_000_000,
    "values",
    "implementation",
    "sub_group_size: values that one part of ZeRO's optimizer step upcasts",
    "DeepSpeed runtime/zero/config.py",
)

# --- above the tensors -------------------------------------------------------------------------------------------

CONTEXT_BYTES = whole(
    "CONTEXT_BYTES",
    680 * MIB,
    "bytes",
    "measured",
    "CUDA context, kernels and library handles of one process, outside the allocator",
    "intercept of nvidia-smi minus allocator peak over the one-GPU fms runs with a fused loss",
)
CONTEXT_EAGER_BYTES = whole(
    "CONTEXT_EAGER_BYTES",
    1343 * MIB,
    "bytes",
    "measured",
    "the same where CUDA loads every kernel at start (no lazy module loading, 2023 and before)",
    "hfdoc-bert: what a V100 shows before a model is loaded",
)
NCCL_BYTES = whole(
    "NCCL_BYTES",
    600 * MIB,
    "bytes",
    "measured",
    "NCCL channels and buffers of one process in a group",
    "fms runs on 2 and 4 GPUs against one, fused loss",
)
CACHED_SHARE = share(
    "CACHED_SHARE",
    0.09,
    "of the bytes that move",
    "measured",
    "reserved and unused, one GPU",
    "slope of nvidia-smi minus allocator peak over the one-GPU fms runs with a fused loss (0.075 to 0.125)",
)
CACHED_SHARE_SHARDED = share(
    "CACHED_SHARE_SHARDED",
    0.12,
    "of the bytes that move",
    "measured",
    "the same under FSDP",
    "slope over the fms runs on 2 and 4 GPUs with a fused loss",
)
CACHED_SHARE_VARYING = share(
    "CACHED_SHARE_VARYING",
    0.1,
    "of the bytes that move",
    "measured",
    "added when batches differ in length",
    "swift1 and peft-mm, whose counter is max_reserved",
)
SHARDED_CACHED_BYTES = whole(
    "SHARDED_CACHED_BYTES",
    2 * GIB,
    "bytes",
    "measured",
    "blocks of gathered units that the allocator keeps under FSDP1 and ZeRO-3",
    "intercept over the same runs",
)
FSDP2_CACHED_BYTES = whole(
    "FSDP2_CACHED_BYTES",
    GIB // 2,
    "bytes",
    "assumed",
    "the same under FSDP2, which frees its buffers at known moments",
    "no published figure separates it; between none and FSDP1",
)
POOLED_LOGITS_BYTES = whole(
    "POOLED_LOGITS_BYTES",
    14,
    "bytes per token and vocabulary entry",
    "measured",
    "what the allocator holds for whole logits: blocks of 2, 4, 4 and 4 bytes a cell, alive together or not",
    "slopes over the micro-batch of nvidia-smi (fms with logits in memory, 14.3) and of max_reserved (swift1, 14.3)",
)
POOLED_LOGITS_VARYING = share(
    "POOLED_LOGITS_VARYING",
    1.7,
    "times",
    "measured",
    "the same when batches differ in length",
    "swift1 runs whose cap exceeds the mean length (22 to 26 bytes a cell)",
)
CACHED_BLOCK_SHARE = share(
    "CACHED_BLOCK_SHARE",
    0.5,
    "of one block's working set",
    "measured",
    "kept beside the pool of logits",
    "the same fms and swift1 slopes",
)
EARLIER_BATCH_SHARE = share(
    "EARLIER_BATCH_SHARE",
    0.8,
    "of the longest batch",
    "measured",
    "length of the batch that the allocator met before the fullest one, where lengths vary",
    "peft-mm and swift1, whose counter is max_reserved: replayed from 0.6 to 1, least error of nine in ten at 0.8",
)
SHORT_BATCHES = share(
    "SHORT_BATCHES",
    0.75,
    "of the bytes that move",
    "measured",
    "how far a run may stay below the cap when its sequences are shorter than max_seq_len",
    "peft-mm: mean against largest reserved memory",
)
BAND_ALONE = share(
    "BAND_ALONE",
    0.12,
    "of the bytes that move",
    "measured",
    "upper end of the tensor bytes, one GPU or replicas",
    "95th percentile over the one-GPU rows of grades A and B that report max_allocated (0.08), widened by half",
)
BAND_SHARDED = share(
    "BAND_SHARDED",
    0.12,
    "of the bytes that move",
    "measured",
    "the same when parameters are sharded",
    "95th percentile over the FSDP rows of grade A (0.05), widened",
)
BAND_BELOW = share(
    "BAND_BELOW", 0.12, "of the bytes that move", "measured", "lower end of the tensor bytes", "the same rows"
)
BAND_UNKNOWN_FAMILY = share(
    "BAND_UNKNOWN_FAMILY",
    0.4,
    "of the bytes that move",
    "assumed",
    "both ends when the family's shape is a fallback",
    "a deliberate margin, not measured",
)
BAND_RESERVED_SHARE = share(
    "BAND_RESERVED_SHARE",
    0.055,
    "of the reserved bytes",
    "measured",
    "added to the upper end of reserved and device",
    "95th percentile over the swift1 and peft-mm rows (max_reserved) and the Qwen rows",
)
BAND_CPU = share(
    "BAND_CPU",
    0.3,
    "of the bytes that move",
    "measured",
    "both ends on a CPU, where malloc decides what stays resident",
    "the runs of MALLOC_SHARE_CPU: 8 of 10 within it",
)
BAND_CONTEXT = share(
    "BAND_CONTEXT",
    0.35,
    "of the context",
    "measured",
    "added to the upper end of device",
    "spread of the context intercepts",
)
PROCESS_BYTES_CPU = whole(
    "PROCESS_BYTES_CPU",
    560 * MIB,
    "bytes",
    "measured",
    "resident memory of a training process without its model: Python, torch, transformers, trl",
    "45 runs of our trainer with models of 0.1 million parameters (530 to 565 MiB in fp32)",
)
PROCESS_BYTES_CPU_BF16 = whole(
    "PROCESS_BYTES_CPU_BF16",
    150 * MIB,
    "bytes",
    "measured",
    "added when products are bf16 on a CPU: oneDNN's kernels",
    "six such runs in bf16 (637 to 717 MiB)",
)
PROCESS_HOST_BYTES = whole(
    "PROCESS_HOST_BYTES",
    3 * GIB,
    "bytes per process",
    "assumed",
    "host RAM of one training process on a GPU: libraries, CUDA's host side, data",
    "rule of thumb, to be replaced by the ledger",
)
MALLOC_SHARE_CPU = share(
    "MALLOC_SHARE_CPU",
    0.85,
    "of the bytes that move",
    "measured",
    "resident and unused on a CPU: malloc arenas, oneDNN scratch",
    "ten runs of SmolLM2-135M in a plain loop, full, LoRA and QLoRA, micro-batch 1 to 4 (0.45 to 1.4)",
)
