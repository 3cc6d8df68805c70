"""Reads what each model_type of the installed transformers can be loaded as.

    python -m tests.model.model_uses          rewrites advisor/model/model_uses.json

The advisor has to know without transformers whether the class that trains would load a checkpoint at all.
"""

from __future__ import annotations

import json
from pathlib import Path

TARGET = Path(__file__).parents[2] / "advisor" / "model" / "model_uses.json"
MAPPINGS = (
    ("speech", "SPEECH_SEQ_2_SEQ"),
    ("seq2seq", "SEQ_TO_SEQ_CAUSAL_LM"),
    ("encoder", "MASKED_LM"),
    ("causal", "CAUSAL_LM"),
    ("image_text", "IMAGE_TEXT_TO_TEXT"),
    ("multimodal", "MULTIMODAL_LM"),
    ("encoder", "TEXT_ENCODING"),
    ("other", "TEXT_TO_WAVEFORM"),
)
"""Use, and the part of the name of transformers' mapping from model_type to class; the first that has it wins.

What a family is for comes before what it can also be built as: BERT, BART and MusicGen have a causal class too. Of a
family that reads images the causal class is its text part alone where the two classes differ: what that saves no
longer fits the checkpoint it came from.
"""


def read_uses() -> dict[str, list[str]]:
    """Use -> the model types whose checkpoints are loaded so, sorted; "other" for vision, audio and the rest."""
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    uses: dict[str, list[str]] = {use: [] for use, _ in MAPPINGS}
    families = {part: set(getattr(modeling_auto, f"MODEL_FOR_{part}_MAPPING_NAMES")) for _, part in MAPPINGS}
    families["CAUSAL_LM"] -= families["TEXT_TO_WAVEFORM"]
    whole, part = (
        modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    )
    families["CAUSAL_LM"] -= {
        model_type for model_type in whole.keys() & part.keys() if whole[model_type] != part[model_type]
    }
    for model_type in sorted(CONFIG_MAPPING_NAMES):
        fitting = (use for use, part in MAPPINGS if model_type in families[part])
        uses[next(fitting, "other")].append(model_type)
    return uses


def encoded() -> str:
    """The file's content: one use a line, so that a diff shows what a new transformers changed."""
    rows = [f"{json.dumps(use)}: {json.dumps(names)}" for use, names in read_uses().items()]
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(encoded())
