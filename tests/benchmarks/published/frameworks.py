"""The stack of a row: the profile of its framework, with the switches that its columns and note name."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from advisor.estimate import stacks
from advisor.estimate.stacks import Stack
from advisor.model.spec import ModelSpec
from tests.benchmarks.published.methods import reading_of
from tests.benchmarks.published.optimizers import FOUR_BIT_STATE_BYTES, keeps_four_bits
from tests.benchmarks.published.plans import STORAGE, split_of, switched_on
from tests.benchmarks.published.rows import NotExpressed, source_of


class Framework(NamedTuple):
    """What is known of a training program."""

    stack: Stack
    hugging_face: bool = True
    """Runs transformers' own modules."""
    mixes: bool = True
    """Has a switch for mixed precision (autocast over fp32 weights)."""


_FRAMEWORKS = {
    "sft-advisor": Framework(stacks.OURS),
    "fms": Framework(stacks.FMS),
    "Qwen": Framework(stacks.QWEN_2023),
    "ms-swift": Framework(stacks.MS_SWIFT),
    "torchtune": Framework(stacks.TORCHTUNE, hugging_face=False, mixes=False),
    "torchtitan": Framework(stacks.TORCHTITAN, hugging_face=False),
    "torchao": Framework(stacks.TORCHTITAN, hugging_face=False),
    "litgpt": Framework(stacks.LITGPT, hugging_face=False),
    "fsdp_qlora": Framework(stacks.FSDP_QLORA),
    "GaLore": Framework(stacks.PEFT_LOOP),
    "peft+transformers": Framework(stacks.PEFT_LOOP),
    "unsloth": Framework(stacks.UNSLOTH, hugging_face=False),
    "axolotl": Framework(stacks.HF_TRAINER),
    "HF Trainer": Framework(stacks.HF_TRAINER),
    "trl": Framework(stacks.HF_TRAINER),
    "transformers+peft": Framework(stacks.HF_TRAINER),
    "LLaMA-Factory": Framework(stacks.HF_TRAINER),
    "alpaca-lora": Framework(stacks.HF_TRAINER),
    "peft": Framework(stacks.HF_TRAINER),
    "accelerate": Framework(stacks.HF_TRAINER),
    "ChatGLM": Framework(stacks.HF_TRAINER),
    "THUDM": Framework(stacks.HF_TRAINER),
    "MiniCPM": Framework(stacks.HF_TRAINER),
    "DeepSpeed": Framework(stacks.DEEPSPEED),
}
_DROPS_COMPUTE = ("fms-lig", "fms-gr")
"""fms benchmarks of the transformers releases (4.45 and later of them) that free 16-bit logits before the loss."""


def framework_of(row: dict[str, str]) -> Framework:
    """The first entry whose name the framework column starts with. Raises NotExpressed for none."""
    text = row["framework"]
    if "unsloth" in text:
        return _FRAMEWORKS["unsloth"]
    found = next((value for start, value in _FRAMEWORKS.items() if text.lower().startswith(start.lower())), None)
    if found is None and re.search(r"hf trainer|sfttrainer|\btrl\b|transformers", text.lower()):
        return Framework(stacks.HF_TRAINER)
    if found is None:
        raise NotExpressed(f"framework {text}")
    return found


def stack_of(row: dict[str, str], model: ModelSpec) -> Stack:
    """Raises NotExpressed for a framework that has no profile."""
    framework, text, on = framework_of(row), row["framework"], switched_on(row)
    storage, stack = STORAGE.get(row["base_dtype"]), framework.stack
    if text.startswith("fms"):
        stack = _fms(row)
    elif row["sharding"] == "zero2 (assumed)":
        stack = msgspec.structs.replace(stacks.DEEPSPEED, autocast=True)
    elif "deepspeed" in row["optimizer"] or row["sharding"].startswith("zero"):
        stack = stacks.DEEPSPEED
    changes = _precision(row, framework, stack)
    if (
        text.startswith("litgpt")
        and storage == "nf4"
        and not re.search(r"\bdq\b|double", (row["note"] + row["source"]).lower())
    ):
        changes["base_storage"] = "nf4_plain"
    if row["grad_ckpt"].startswith("selective"):
        changes["selective_checkpointing"] = True
    if text.startswith("Qwen"):
        changes["kernels_at_start"] = True
    if storage not in (None, "nf4"):
        changes |= {"base_storage": storage, "kbit_upcast": False}
    if "compiled" in on:
        changes["compiled"] = True
        if text.startswith(("torchtitan", "torchao")):
            changes["full_head"] = "compiled"
    generated = re.search(r"batch_size_eval (\d+)|evaluation with generation \(batch (\d+)", row["note"])
    if generated:
        changes["generates"] = int(generated[1] or generated[2])
    if keeps_four_bits(row["optimizer"]):
        changes["state_bytes"] = FOUR_BIT_STATE_BYTES
    changes |= reading_of(row, model).stack | {"split": split_of(row)}
    return msgspec.structs.replace(stack, **changes)


def _precision(row: dict[str, str], framework: Framework, stack: Stack) -> dict[str, Any]:
    """Autocast and fp32 masters as the columns state them, whatever the framework does by default.

    base_dtype names the dtype that the optimizer updates: fp32 there is an fp32 master, 16 bit is none.
    """
    training, base = row["training_precision"], row["base_dtype"]
    changes: dict[str, Any] = {"autocast": stack.autocast and not training.startswith(("pure", "fp32"))}
    if training.startswith("mixed") and framework.mixes and base == "fp32":
        changes |= {"autocast": True, "lora_dtype": "fp32"}
    if row["method"] == "full":
        changes["fsdp_fp32_master"] = base == "fp32"
    return changes


def _fms(row: dict[str, str]) -> Stack:
    """framework_config names the kernels and the quantised peft of a run."""
    found = re.search(r"framework_config=([\w-]+)", row["note"])
    config = found[1] if found else "none"
    fused = "foak" in config
    stack = stacks.FMS_FUSED if fused else stacks.FMS
    changes: dict[str, Any] = {}
    if fused and "accelerated-peft" in config:
        changes |= {"lora_kernel": "fused", "quantised_keeps_input": True}
    if config == "baseline-peft-bnb" and row["n_gpus"] == "1":
        changes["kbit_upcast"] = True
    if source_of(row["id"]) in _DROPS_COMPUTE:
        changes["head_drops_compute"] = True
    return msgspec.structs.replace(stack, **changes)
