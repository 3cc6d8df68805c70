"""A row of the table of published measurements, expressed as a model, a plan and a stack.

What the columns cannot say (which kernels a framework configuration switches on) is read from the row's note, where
the source itself states it. A row that has no such expression says why.
"""

from __future__ import annotations

import csv
import os
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from advisor.errors import AdvisorError
from advisor.estimate import stacks
from advisor.estimate.stacks import Stack
from advisor.model.spec import ModelSpec
from trainers.plan import ModelRef, TrainingPlan

GIB = 1024**3
UNITS = {"GiB": GIB, "MiB": 1024**2, "GB": 10**9, "MB": 10**6}
GRADE_A = ("fms", "fms-lig", "fms-gr", "litgpt-rt", "tune-flags", "fsdpq", "titan")
GRADE_B = ("peft-mm", "tune-hw", "tune-tut", "tune-old", "qwen", "swift1", "hfdoc-bert")
WEAK = frozenset(("litgpt-ch-021", "litgpt-ch-024", "litgpt-ch-034", "uns-nb-041", "axo-007"))
VISIBLE_GIB = {
    "A100-80GB": 79.15,
    "A100-40GB": 39.39,
    "A800-80GB": 79.15,
    "H100-80GB": 79.15,
    "H100-96GB": 94.9,
    "H200": 139.7,
    "L40S-48GB": 44.4,
    "A40-48GB": 44.4,
    "A6000-48GB": 47.45,
    "T4-16GB": 14.56,
    "V100-16GB": 15.77,
    "V100-32GB": 31.73,
    "L4-24GB": 22.05,
    "A10G-24GB": 21.98,
    "RTX3090-24GB": 23.6,
    "RTX4090-24GB": 23.6,
    "TitanRTX-24GB": 23.6,
    "RTX2080Ti-11GB": 10.7,
    "RTX4070TiSuper-16GB": 15.6,
    "MI300X-192GB": 191.7,
    "B200": 178.35,
}
SAME_SHAPE = {
    "meta-llama/Llama-2-7b": "meta-llama/Llama-2-7b-hf",
    "meta-llama/Llama-2-70b": "meta-llama/Llama-2-70b-hf",
    "meta-llama/Llama-3 8B": "meta-llama/Meta-Llama-3-8B",
    "meta-llama/Meta-Llama-3-70b-hf": "meta-llama/Llama-3.1-70B",
    "decapoda-research/llama-7b-hf": "meta-llama/Llama-2-7b-hf",
    "decapoda-research/llama-13b-hf": "meta-llama/Llama-2-13b-hf",
    "THUDM/chatglm3-6b-32k": "THUDM/chatglm3-6b",
    "mistralai/Devstral-Small-2507": "mistralai/Mistral-Small-24B-Base-2501",
    "mistralai/Magistral-Small-2506": "mistralai/Mistral-Small-24B-Base-2501",
    "mistralai/Magistral-Small-2507": "mistralai/Mistral-Small-24B-Base-2501",
    "unsloth/Llama-3.2-3B-Instruct": "meta-llama/Llama-3.2-3B",
    "unsloth/Mistral-Nemo-Base-2407": "mistralai/Mistral-Nemo-Base-2407",
    "unsloth/Qwen3-0.6B": "Qwen/Qwen3-0.6B",
    "unsloth/Qwen3-14B": "Qwen/Qwen3-14B",
    "unsloth/Qwen3-4B-Instruct-2507": "Qwen/Qwen3-4B",
    "unsloth/gemma-2-9b": "google/gemma-2-9b",
    "unsloth/llama-3-8b-Instruct-bnb-4bit": "meta-llama/Meta-Llama-3-8B",
    "unsloth/llama-3-8b-bnb-4bit": "meta-llama/Meta-Llama-3-8B",
    "unsloth/mistral-7b-instruct-v0.3-bnb-4bit": "mistralai/Mistral-7B-v0.3",
    "unsloth/mistral-7b-v0.3": "mistralai/Mistral-7B-v0.3",
}
"""Names of the table that are other copies of a shape in the catalogue."""


CHARACTERS_PER_TOKEN = 2.05
"""In the longest samples of mathematical text, dense in digits and signs."""


class NotExpressed(Exception):  # noqa: N818
    """Why a row has no expression."""


class Run(NamedTuple):
    """One published run, ready to be predicted."""

    id: str
    source: str
    grade: str
    model: ModelSpec
    plan: TrainingPlan
    stack: Stack
    counter: str
    """allocated, reserved, device, or card."""
    value_bytes: int | None
    """Measured, for one GPU; None where only the card's size is known."""
    oom: bool
    capacity_bytes: int | None
    lengths_vary: bool
    row: dict[str, str]


def read_rows(path: Path) -> list[dict[str, str]]:
    """All rows of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def source_of(row_id: str) -> str:
    """The prefix that names the source: fms-lig-021 -> fms-lig."""
    return re.sub(r"-\d+$", "", row_id)


def grade_of(row: dict[str, str]) -> str:
    """A or B as memory_measurements.md grades the source, else C."""
    if row["id"] in WEAK:
        return "C"
    source = source_of(row["id"])
    if source in GRADE_A:
        return "A"
    return "B" if source in GRADE_B or row["id"] == "uns-nb-033" else "C"


def express(row: dict[str, str]) -> Run:
    """Raises NotExpressed with the reason."""
    model = _model(row["model"])
    stack = _stack(row)
    plan = _plan(row, stack)
    value = _value(row)
    return Run(
        id=row["id"],
        source=source_of(row["id"]),
        grade=grade_of(row),
        model=_as_loaded(model, row),
        plan=plan,
        stack=stack,
        counter=_counter(row),
        value_bytes=value,
        oom=row["oom"] == "yes",
        capacity_bytes=_capacity(row),
        lengths_vary=_lengths_vary(row),
        row=row,
    )


@cache
def _model(name: str) -> ModelSpec:
    if name.startswith("bert"):
        raise NotExpressed("an encoder, not a language model")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from advisor.model.catalog import from_catalog

    try:
        found = from_catalog(SAME_SHAPE.get(name, name))
    except AdvisorError as error:
        raise NotExpressed(f"model not in the catalogue: {name}") from error
    if found is None:
        raise NotExpressed(f"model not in the catalogue: {name}")
    return found


def _as_loaded(model: ModelSpec, row: dict[str, str]) -> ModelSpec:
    """litgpt holds an output layer of its own where the published model ties it."""
    if row["framework"].startswith("litgpt") and model.tie_word_embeddings and "falcon" in model.name.lower():
        return msgspec.structs.replace(model, tie_word_embeddings=False, head_params=model.embedding_params)
    return model


def _number(text: str, what: str) -> int:
    if not text.isdigit():
        raise NotExpressed(f"{what} unknown")
    return int(text)


_STORAGE = {"nf4": "nf4", "fp4": "nf4", "int4": "nf4", "gptq_int4": "gptq_int4", "gptq_int8": "gptq_int8"}
_STORAGE |= {"int8": "int8", "awq_int4": "awq_int4"}
_OPTIMIZERS = {
    "adamw_torch": "adamw_torch",
    "adamw": "adamw_torch",
    "adam": "adamw_torch",
    "adamw_hf": "adamw_torch",
    "deepspeed_adamw": "adamw_torch_fused",
    "adamw_torch_fused": "adamw_torch_fused",
    "adamw_torch (fused)": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "adamw_bnb_8bit": "adamw_8bit",
    "adamw_torch_8bit": "adamw_8bit",
    "adamw_8bit (bnb)": "adamw_8bit",
    "adamw_8bit (torchao)": "adamw_8bit",
    "paged_adamw_32bit": "paged_adamw_32bit",
    "paged_adamw": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
    "unknown": "adamw_torch",
}
_TARGETS = {
    "swift DEFAULT (q_proj+k_proj+v_proj)": "q_proj+k_proj+v_proj",
    "q_proj+v_proj+output_proj+mlp": "q_proj+v_proj+o_proj+gate_proj+up_proj+down_proj",
    "q+k+v+output_proj+mlp": "all-linear",
    "all linear incl. output": "all-linear",
    "query+value": "q_proj+v_proj",
}


def _plan(row: dict[str, str], stack: Stack) -> TrainingPlan:
    dora = row["method"] == "dora"
    method = "lora" if dora else row["method"]
    if method not in ("full", "lora", "qlora", "prefix"):
        raise NotExpressed(f"method {method}")
    sharding, offload = _sharding(row)
    training = row["training_precision"]
    compute = "fp32" if training == "fp32" else "fp16" if "fp16" in training else "bf16"
    base = row["base_dtype"]
    if method == "qlora" and base not in _STORAGE:
        raise NotExpressed(f"base stored as {base}")
    if base not in _STORAGE and base not in ("bf16", "fp16", "fp32"):
        raise NotExpressed(f"base stored as {base}")
    quantised = base in _STORAGE
    note = row["note"].lower()
    optimizer = _OPTIMIZERS.get(row["optimizer"])
    if optimizer is None:
        raise NotExpressed(f"optimizer {row['optimizer']}")
    fields: dict[str, Any] = {
        "model": ModelRef(name=row["model"]),
        "method": "qlora" if quantised and method == "lora" else method,
        "quantization": "nf4" if quantised else "none",
        "compute_dtype": compute,
        "weights_dtype": "fp32" if base == "fp32" else compute,
        "optimizer": optimizer,
        "micro_batch_size": _number(row["micro_batch"], "micro-batch"),
        "max_seq_len": _longest(row),
        "gradient_checkpointing": _checkpointing(row),
        "activation_offload": "activation offloading" in note,
        "attention": {"flash2": "flash2", "eager": "eager"}.get(row["attention"], "sdpa"),
        "loss_kernel": "liger" if row["fused_ce"] == "yes" else "full",
        "num_gpus": _number(row["n_gpus"], "GPU count"),
        "sharding": sharding,
        "cpu_offload": offload,
        "gradient_accumulation_steps": _accumulation(row),
        "optimizer_in_backward": "optimizer_in_bwd" in note and "no optimizer_in_bwd" not in note,
        "eval_micro_batch_size": 1,
        "use_dora": dora,
    }
    if "not packed" in note:
        raise NotExpressed("not packed: the real length is unknown")
    if "not stated" in note and "flags differ" in note:
        raise NotExpressed("switches not stated")
    chunks = ("yes", "unknown")
    if row["framework"].startswith("torchtune") and row["fused_ce"] in chunks:
        fields["loss_kernel"] = "chunked"
    if fields["optimizer_in_backward"]:
        fields["gradient_accumulation_steps"] = 1
        if "paged" in note and "8bit" in note.replace("-", ""):
            fields["optimizer"] = "paged_adamw_8bit"
    if method in ("lora", "qlora"):
        fields |= _lora_fields(row)
    if method == "prefix":
        fields |= _prefix_fields(row)
    return TrainingPlan(**fields)


def _longest(row: dict[str, str]) -> int:
    """The cap, or fewer tokens where the source also caps the characters of a sample."""
    cap = _number(row["seq_len"], "sequence length")
    characters = re.search(r"samples <=(\d+) chars", row["note"])
    return min(cap, int(int(characters[1]) / CHARACTERS_PER_TOKEN)) if characters else cap


def _as_named(targets: tuple[str, ...], model: ModelSpec) -> tuple[str, ...]:
    """The names that the catalogue's model uses: litgpt's query and value may be one fused projection there."""
    names = {linear.name for group in model.layers for linear in group.linears}
    if any(name in names or name == "all-linear" for name in targets):
        return targets
    fused = [linear.name for group in model.layers for linear in group.linears if linear.role == "attention"]
    return tuple(dict.fromkeys(fused[:1])) or targets


def _lora_fields(row: dict[str, str]) -> dict[str, Any]:
    rank = _number(row["lora_r"], "rank")
    targets = _TARGETS.get(row["lora_targets"], row["lora_targets"])
    if targets.startswith("query_key_value"):
        targets = "query_key_value" if targets.count("+") == 0 else targets.split(" ")[0]
    if not re.fullmatch(r"[A-Za-z0-9_.+-]+", targets) or targets in ("unknown", "na"):
        raise NotExpressed(f"LoRA targets: {row['lora_targets']}")
    named = _as_named(tuple(targets.split("+")), _model(row["model"]))
    fields: dict[str, Any] = {"lora_rank": rank, "lora_alpha": 2 * rank, "lora_targets": named}
    dropout = row["source"].startswith(
        ("foundation-model-stack", "QwenLM", "modelscope", "AnswerDotAI", "Lightning-AI")
    )
    fields["lora_dropout"] = 0.05 if dropout else 0.0
    if row["train_embeddings"] == "yes":
        fields["modules_to_save"] = ("embed_tokens", "lm_head")
    elif row["train_embeddings"] not in ("no", "unknown"):
        raise NotExpressed(f"train_embeddings: {row['train_embeddings']}")
    return fields


def _prefix_fields(row: dict[str, str]) -> dict[str, Any]:
    found = re.search(r"trainable params=(\d+)", row["note"])
    if found is None:
        raise NotExpressed("number of virtual tokens unknown")
    model = _model(row["model"])
    each = 2 * model.num_hidden_layers * model.num_key_value_heads * model.head_dim
    return {"num_virtual_tokens": max(1, int(found[1]) // each), "gradient_checkpointing": False}


def _sharding(row: dict[str, str]) -> tuple[str, bool]:
    text = row["sharding"]
    offload = "offload" in text
    if re.search(r"\b(tp|pp|cp|hsdp)\b|tensor.parallel|pipeline|context.parallel", text.lower()):
        raise NotExpressed(f"sharding {text}")
    if "device_map" in text or "sequence_parallel" in text or "unknown" in text or "expert parallel" in text:
        raise NotExpressed(f"sharding {text}")
    if "shard_grad_op" in text:
        return "zero2", offload
    for name in ("fsdp", "zero2", "zero3", "ddp"):
        if name in text:
            return name, offload
    return "none", offload


def _checkpointing(row: dict[str, str]) -> bool:
    text = row["grad_ckpt"]
    if text.startswith("selective"):
        if "op" not in text:
            raise NotExpressed(f"checkpointing {text}")
        return True
    if text == "unknown":
        # torchtune's recipes checkpoint unless told otherwise; elsewhere nothing is known
        if row["framework"].startswith("torchtune"):
            return True
        raise NotExpressed("checkpointing unknown")
    return text == "yes"


def _accumulation(row: dict[str, str]) -> int:
    found = re.search(r"gradient accumulation (\d+)", row["note"])
    return int(found[1]) if found else 1


def _lengths_vary(row: dict[str, str]) -> bool:
    """Whether batches differ in length: dynamic padding, or a cap above the data's mean length."""
    if row["seq_is_padded_max"] != "yes":
        return True
    mean = re.search(r"tokens mean (\d+)", row["note"])
    return bool(mean) and row["seq_len"].isdigit() and int(row["seq_len"]) > int(mean[1])


def _value(row: dict[str, str]) -> int | None:
    if row["what_is_reported"] == "card_size":
        return None
    exact = re.search(r"torch peak bytes=(\d+)", row["note"]) or re.search(r"^bytes=(\d+)", row["note"])
    value = int(exact[1]) if exact else int(float(row["reported_value"]) * UNITS[row["reported_unit"]])
    summed = "[sum]" in row["note"] or (row["id"].startswith("qwen-") and row["n_gpus"] not in ("1", "unknown"))
    return value // int(row["n_gpus"]) if summed else value


def _counter(row: dict[str, str]) -> str:
    """`unknown` is read as what the framework usually prints: torchtune its allocator peak, others the device."""
    known = {"max_allocated": "allocated", "max_reserved": "reserved", "nvidia-smi": "device", "card_size": "card"}
    if row["what_is_reported"] in known:
        return known[row["what_is_reported"]]
    if source_of(row["id"]) in ("tune-old", "tune-tut"):
        return "reserved"
    return (
        "allocated"
        if row["framework"].startswith("torchtune")
        else "reserved"
        if row["framework"].startswith("torchtitan")
        else "device"
    )


def _capacity(row: dict[str, str]) -> int | None:
    visible = VISIBLE_GIB.get(row["gpu"])
    if visible is None:
        size = re.search(r"(\d+)GB", row["gpu"])
        visible = float(size[1]) * 0.975 if size else None
    return int(visible * GIB) if visible else None


def _stack(row: dict[str, str]) -> Stack:
    """The profile of the row's framework, with the switches that its note names."""
    framework, note = row["framework"], row["note"]
    storage = _STORAGE.get(row["base_dtype"])
    if framework.startswith("fms"):
        stack = _fms(note, row)
    elif row["sharding"] == "zero2 (assumed)":
        stack = msgspec.structs.replace(stacks.DEEPSPEED, autocast=True)
    elif "deepspeed" in row["optimizer"] or row["sharding"].startswith("zero"):
        stack = stacks.DEEPSPEED
    else:
        named = next((stack for start, stack in _FRAMEWORKS.items() if framework.startswith(start)), None)
        if named is None:
            raise NotExpressed(f"framework {framework}")
        stack = named
    pure = row["training_precision"].startswith(("pure", "fp32"))
    changes: dict[str, Any] = {"autocast": stack.autocast and not pure}
    double = re.search(r"\bdq\b|double", (note + row["source"]).lower())
    if framework.startswith("litgpt") and storage == "nf4" and not double:
        changes["base_storage"] = "nf4_plain"
    if row["grad_ckpt"].startswith("selective"):
        changes["selective_checkpointing"] = True
    if framework.startswith(("torchtitan", "torchao")) and ("compile" in note or changes.get("compiled")):
        changes["full_head"] = "compiled"
    if framework.startswith("Qwen"):
        changes["kernels_at_start"] = True
    if storage not in (None, "nf4"):
        changes |= {"base_storage": storage, "kbit_upcast": False}
    cumulative = source_of(row["id"]) == "tune-flags" and row["fused_ce"] == "yes"
    if "torch.compile" in note or "compiled" in note or cumulative:
        changes["compiled"] = True
    return msgspec.structs.replace(stack, **changes)


_FRAMEWORKS = {
    "Qwen": stacks.QWEN_2023,
    "ms-swift": stacks.MS_SWIFT,
    "torchtune": stacks.TORCHTUNE,
    "torchtitan": stacks.TORCHTITAN,
    "torchao": stacks.TORCHTITAN,
    "litgpt": stacks.LITGPT,
    "fsdp_qlora": stacks.FSDP_QLORA,
    "peft+transformers": stacks.PEFT_LOOP,
    "unsloth": stacks.UNSLOTH,
    "axolotl": stacks.HF_TRAINER,
    "HF Trainer": stacks.HF_TRAINER,
    "trl": stacks.HF_TRAINER,
    "transformers+peft": stacks.HF_TRAINER,
    "LLaMA-Factory": stacks.HF_TRAINER,
    "alpaca-lora": stacks.HF_TRAINER,
    "peft": stacks.HF_TRAINER,
    "accelerate": stacks.HF_TRAINER,
    "ChatGLM": stacks.HF_TRAINER,
    "THUDM": stacks.HF_TRAINER,
}


def _fms(note: str, row: dict[str, str]) -> Stack:
    """framework_config names the kernels and the quantised peft of a run."""
    found = re.search(r"framework_config=([\w-]+)", note)
    config = found[1] if found else "none"
    fused = "foak" in config
    stack = stacks.FMS_FUSED if fused else stacks.FMS
    changes: dict[str, Any] = {"lora_kernel": "fused"} if fused and "accelerated-peft" in config else {}
    if config == "baseline-peft-bnb" and row["n_gpus"] == "1":
        changes["kbit_upcast"] = True
    if source_of(row["id"]) == "fms-lig":
        changes["head_drops_compute"] = True
    return msgspec.structs.replace(stack, **changes)
