"""Constants of the disk estimate: what the shape does not tell about the files of a run. Rows of the same table."""

from __future__ import annotations

from advisor.estimate.constants import MIB, share, whole

TOKENIZER_BYTES = whole(
    "TOKENIZER_BYTES",
    16 * MIB,
    "bytes",
    "measured",
    "tokenizer.json and its companions",
    "2 to 34 MB in the families that people train",
)
SMALL_FILES_BYTES = whole(
    "SMALL_FILES_BYTES",
    256 * 1024,
    "bytes",
    "assumed",
    "configs, scheduler, random states, trainer state and logs of a checkpoint",
    "a round figure above what short runs write",
)
SHARD_BYTES = whole(
    "SHARD_BYTES",
    50 * 10**9,
    "bytes",
    "implementation",
    "beyond this transformers starts a second file; the headers of several files are not worked out",
    "transformers save_pretrained(max_shard_size)",
)
HEADER_BYTES_PER_TENSOR = whole(
    "HEADER_BYTES_PER_TENSOR",
    110,
    "bytes",
    "assumed",
    "one tensor in the header of a model's file where its names are not known",
    "name, dtype, shape and offsets of a tensor of Llama's form",
)
TENSORS_PER_BLOCK = whole(
    "TENSORS_PER_BLOCK",
    9,
    "tensors",
    "assumed",
    "tensors of one block in that case",
    "seven matrices and two norms, as in Llama",
)
HEADER_BYTES_PER_ADAPTER_TENSOR = whole(
    "HEADER_BYTES_PER_ADAPTER_TENSOR",
    130,
    "bytes",
    "assumed",
    "one tensor in the header of an adapter's file where its names are not known",
    "the same with peft's longer names",
)
GGUF_BYTES_PER_PARAM = share(
    "GGUF_BYTES_PER_PARAM",
    0.6,
    "bytes per parameter",
    "assumed",
    "a block's parameter in the GGUF file that is delivered",
    "Q4_K_M: 4.8 bits a weight",
)
GGUF_OUTER_BYTES_PER_PARAM = share(
    "GGUF_OUTER_BYTES_PER_PARAM",
    0.85,
    "bytes per parameter",
    "assumed",
    "a parameter of embedding or head in that file",
    "Q6_K: 6.6 bits a weight",
)
FOUR_BIT_BYTES_PER_PARAM = share(
    "FOUR_BIT_BYTES_PER_PARAM",
    0.55,
    "bytes per parameter",
    "assumed",
    "a block's parameter in a 4-bit folder that is delivered; embedding and head stay in 16 bit",
    "4 bits and scales for groups of 128 (GPTQ, AWQ) to 64 (NF4) weights",
)
