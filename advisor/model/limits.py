"""What no real model exceeds: bounds on the numbers of a config or GGUF header that lists and sums are built from.

| number | bound | largest known |
| --- | --- | --- |
| blocks | 2,000 | about 130; 1,000 in a paper on depth |
| experts of a block | 100,000 | about 1,000 |
| heads and groups | 100,000 | about 200 |
| parallel residual streams | 1,000 | 4 |
| parameters of a part for images or sound | 2^50 | about 10^10 |
| any other size | 2^32 - 1 | vocabularies of about 300,000, contexts of 10 million |

A foreign number beyond its bound is an error of the file; below it, reading takes well under the memory and time that
a file of a model takes anyway.
"""

from __future__ import annotations

import re

LAYERS = 2_000
EXPERTS = 100_000
HEADS = 100_000
STREAMS = 1_000
SIZE = 2**32 - 1
PARAMETERS = 2**50

LIST_ENTRIES = LAYERS
"""Entries of a list in a config: one a block at most."""

GGUF_KEYS = 10_000
"""Metadata keys of a GGUF file; the largest in use has about 70."""
GGUF_TENSORS = 1_000_000
GGUF_DIMENSIONS = 4
"""ggml knows no more (GGML_MAX_DIMS)."""
GGUF_TEXTS = 4_000_000
"""Texts of one array: a vocabulary, or its merges."""
GGUF_TEXT_BYTES = 64 << 20
"""One text of the metadata; the longest is a chat template."""

SAFETENSORS_HEADER_BYTES = 100_000_000
"""The bound that the safetensors library sets itself."""

_BLOCKS = re.compile(r"layers$|(^|_)n_layer$|num_blocks$|num_mem_blocks$|^first_k_dense_replace$")
_PARALLEL = re.compile(r"(heads?|groups|_mult)$")


def largest(key: str) -> int:
    """The bound of a number of config.json, by its key."""
    if _BLOCKS.search(key):
        return LAYERS
    if key == "altup_num_inputs":
        return STREAMS
    if "expert" in key and "size" not in key:
        return EXPERTS
    return HEADS if _PARALLEL.search(key) else SIZE
