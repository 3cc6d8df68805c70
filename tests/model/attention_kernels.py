"""Reads which attention kernels each class of the installed transformers takes.

python -m tests.model.attention_kernels          rewrites advisor/model/attention_kernels.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainers.text_alone import TEXT_ALONE

TARGET = Path(__file__).parents[2] / "advisor" / "model" / "attention_kernels.json"


def read_kernels() -> dict[str, list[str]]:
    """Kernel -> the families that the trainer loads and whose class does without it, sorted."""
    lacking: dict[str, list[str]] = {"sdpa": [], "flash2": []}
    for model_type, kind in sorted(classes().items()):
        if not kind._supports_sdpa:
            lacking["sdpa"].append(model_type)
        named = kind._compatible_flash_implementations or ["flash_attention_2"]
        if not kind._supports_flash_attn or "flash_attention_2" not in named:
            lacking["flash2"].append(model_type)
    return lacking


def classes() -> dict[str, Any]:
    """`model_type` -> the class that the trainer loads."""
    import transformers
    from transformers.models.auto import modeling_auto

    causal = dict(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    eyes = modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    names = causal | {name: eyes[name] for name in TEXT_ALONE if name in eyes}
    return {model_type: getattr(transformers, name) for model_type, name in names.items()}


def encoded() -> str:
    """The file's content: one kernel a line."""
    rows = [f"{json.dumps(kernel)}: {json.dumps(names)}" for kernel, names in read_kernels().items()]
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(encoded())
