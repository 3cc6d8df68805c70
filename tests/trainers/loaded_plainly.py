"""How a checkpoint that reads images answers in plain transformers and peft, before and after a training.

python -m tests.trainers.loaded_plainly BASE RESULT MERGED       MERGED is "" where the result is a whole model
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText

IDS = torch.arange(3, 43)[None]


def loaded(folder: str | Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(folder, dtype="float32")


def answer(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model.eval()(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    return logits


def furthest(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def adapted(base: Any, result: str, merged: str, before: torch.Tensor) -> dict[str, Any]:
    model = PeftModel.from_pretrained(base, result)
    adapters = {name: tensor for name, tensor in model.named_parameters() if "lora_" in name}
    after = answer(model)
    return {
        "adapted": list(adapters),
        "idle": [name for name, tensor in adapters.items() if "lora_B" in name and not tensor.any()],
        "moved": furthest(after, before),
        "gap": furthest(answer(loaded(merged)), after),
    }


if __name__ == "__main__":
    base, result, merged = sys.argv[1:]
    plain = loaded(base)
    before = answer(plain)
    if merged:
        print(json.dumps(adapted(plain, result, merged, before)))
    else:
        print(json.dumps({"moved": furthest(answer(loaded(result)), before)}))
