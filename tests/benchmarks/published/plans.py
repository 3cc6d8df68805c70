"""The plan of a row: what its columns and its note say about method, precision, batch, sharding and switches."""

from __future__ import annotations

import re
from typing import Any

from advisor.estimate.stacks import Split
from advisor.model.spec import ModelSpec
from tests.benchmarks.published.methods import reading_of
from tests.benchmarks.published.optimizers import optimizer_of
from tests.benchmarks.published.rows import NotExpressed, NotStated, number, says, source_of
from trainers.plan import ModelRef, TrainingPlan

STORAGE = {
    "nf4": "nf4",
    "fp4": "nf4",
    "int4": "nf4",
    "gptq_int4": "gptq_int4",
    "gptq_int8": "gptq_int8",
    "int8": "int8",
    "awq_int4": "awq_int4",
}
"""base_dtype -> how the estimator stores it; other values are 16 or 32 bit."""
CHARACTERS_PER_TOKEN = 2.05
"""In the longest samples of mathematical text, dense in digits and signs."""
STEP_IN_BACKWARD = (
    r"per-layer (weight )?update|optimizer_in_bwd|"
    r"(optimi[sz]er|step|optim)[\w ]{0,12} (fused |in |into )+(the )?(backward|bwd)|"
    r"fus\w+ (the )?optim\w*( step)? (in|into|with) (the )?(backward|bwd)"
)
_CUMULATIVE = (
    ("compiled", r"torch\.compile|compiled?\b"),
    ("chunked", r"chunked cross"),
    ("checkpointed", r"checkpointing"),
    ("step_in_backward", STEP_IN_BACKWARD),
    ("offloaded", r"activation offloading"),
    ("eight_bit", r"8-?bit"),
)
"""torchtune's README adds one switch a row, in this order: a row has its own and all above it."""


def switched_on(row: dict[str, str]) -> set[str]:
    """Switches that the note names, those of the rows above it included where a table is cumulative."""
    on = {name for name, pattern in _CUMULATIVE if says(row, pattern)}
    if "cumulative with the rows above" not in row["note"]:
        return on
    names = [name for name, _ in _CUMULATIVE]
    own = row["note"].split(";")[0].lower()
    reached = [index for index, (_, pattern) in enumerate(_CUMULATIVE) if re.search(pattern, own)]
    return set(names[: max(reached) + 1]) if reached else set()


def require_stated(row: dict[str, str]) -> None:
    """Raises NotStated for a row that leaves out how many tokens a GPU works on, whatever its model."""
    if "not packed" in row["note"].lower():
        raise NotStated("not packed: the real length is unknown")
    number(row["micro_batch"], "micro-batch")
    number(row["seq_len"], "sequence length")
    number(row["n_gpus"], "GPU count")
    if row["base_dtype"] == "unknown":
        raise NotStated("how the base is stored is unknown")


def plan_of(row: dict[str, str], model: ModelSpec) -> TrainingPlan:
    """Raises NotExpressed where a column or the note cannot be put into a plan."""
    reading = reading_of(row, model)
    method, on, note = reading.method, switched_on(row), row["note"].lower()
    base = row["base_dtype"]
    quantised = base in STORAGE
    if not quantised and (method == "qlora" or base not in ("bf16", "fp16", "fp32")):
        raise NotExpressed(f"base stored as {base}")
    if "not stated" in note and "flags differ" in note:
        raise NotStated("switches not stated")
    sharding, offload = _sharding(row)
    compute = _compute(row)
    in_backward = "step_in_backward" in on and method == "full"
    fields: dict[str, Any] = {
        "model": ModelRef(name=row["model"]),
        "method": "qlora" if quantised and method == "lora" else method,
        "quantization": "nf4" if quantised else "none",
        "compute_dtype": compute,
        "weights_dtype": "fp32" if base == "fp32" else compute,
        "optimizer": _optimizer(row, in_backward),
        "micro_batch_size": number(row["micro_batch"], "micro-batch"),
        "max_seq_len": _longest(row),
        "gradient_checkpointing": _checkpointing(row),
        "activation_offload": "offloaded" in on,
        "attention": _attention(row),
        "loss_kernel": _loss_kernel(row),
        "num_gpus": 1 if layers_split(row) else number(row["n_gpus"], "GPU count"),
        "sharding": sharding,
        "cpu_offload": offload,
        "gradient_accumulation_steps": 1 if in_backward else _accumulation(row),
        "optimizer_in_backward": in_backward,
        "eval_micro_batch_size": 1,
    }
    return TrainingPlan(**fields | reading.fields)


def _compute(row: dict[str, str]) -> str:
    training = row["training_precision"]
    if training == "unknown":
        noted = re.search(r"(bf16|fp16) autocast", row["note"])
        if noted is None and row["base_dtype"] not in ("bf16", "fp16"):
            raise NotStated("training precision unknown")
        return noted[1] if noted is not None else row["base_dtype"]
    return "fp32" if training == "fp32" else "fp16" if "fp16" in training else "bf16"


def _attention(row: dict[str, str]) -> str:
    """`unknown` is what the library does by itself: sdpa; the plain side of a comparison ("HF on") is eager.

    So is the code that came with ChatGLM-6B, and with ChatGLM2-6B, which hands a mask to torch 2.0, whose fused
    kernels take none.
    """
    if row["attention"] in ("flash2", "eager"):
        return row["attention"]
    if re.search(r"chatglm2?-6b", row["model"].lower()):
        return "eager"
    return "eager" if row["attention"] == "unknown" and re.search(r"\bHF on\b", row["note"]) else "sdpa"


def _optimizer(row: dict[str, str], in_backward: bool) -> str:
    found = optimizer_of(row["optimizer"])
    note = row["note"].lower().replace("-", "")
    return "paged_adamw_8bit" if in_backward and "paged" in note and "8bit" in note else found


def _loss_kernel(row: dict[str, str]) -> str:
    if row["framework"].startswith("torchtune") and row["fused_ce"] in ("yes", "unknown"):
        return "chunked"
    return "liger" if row["fused_ce"] == "yes" else "full"


def _longest(row: dict[str, str]) -> int:
    """The cap, or fewer tokens where the source also caps the characters of a sample."""
    cap = number(row["seq_len"], "sequence length")
    characters = re.search(r"samples <=(\d+) chars", row["note"])
    return min(cap, int(int(characters[1]) / CHARACTERS_PER_TOKEN)) if characters else cap


_NOT_SPLIT_BY_US = re.compile(r"(?<![a-z])(pp|hsdp)[-_ =]?\d*(?![a-z])|pipeline")
"""Ways to share a run that neither plan nor stack can state, with their degree glued to the token or not."""
_DEGREES = {
    "tensor": r"(?<![a-z])(?:tp|tensor.parallel)(?:[-_ ]?size)?[-_ =]*(\d*)(?![a-z])",
    "context": r"(?<![a-z])(?:cp|sp|(?:context|sequence).parallel|ulysses|ring)(?:[-_ ]?size)?[-_ =]*(\d*)(?![a-z])",
    "expert": r"(?<![a-z])(?:ep|expert.parallel)(?:[-_ ]?size)?[-_ =]*(\d*)(?![a-z])",
}
"""How each degree of a Split is written."""


def split_of(row: dict[str, str]) -> Split:
    """Degrees of the sharding column, or of the note where the column only names them. Raises NotStated for none."""
    text = row["sharding"].lower()
    degrees = {}
    for name, pattern in _DEGREES.items():
        named = re.search(pattern, text)
        if named is None:
            continue
        if not named[1]:
            named = re.search(pattern.replace(r"(\d*)", r"(\d+)"), row["note"].lower())
        if named is None:
            raise NotStated(f"sharding {row['sharding']}: degree unknown")
        degrees[name] = int(named[1])
    return Split(**degrees)


def layers_split(row: dict[str, str]) -> bool:
    """Whether the layers lie on several GPUs that work one after the other: one run on all their memory together."""
    return "device_map" in row["sharding"]


def _sharding(row: dict[str, str]) -> tuple[str, bool]:
    text = row["sharding"].lower()
    offload = "offload" in text
    if text == "unknown" or "stage unknown" in text:
        raise NotStated(f"sharding {row['sharding']}")
    if _NOT_SPLIT_BY_US.search(text):
        raise NotExpressed(f"sharding {row['sharding']}")
    if layers_split(row):
        return "none", offload
    if "shard_grad_op" in text:
        return "zero2", offload
    for name in ("fsdp", "zero2", "zero3", "ddp"):
        if name in text:
            return name, offload
    if text == "none" or split_of(row).group > 1:
        return "none", offload
    raise NotExpressed(f"sharding {row['sharding']}")


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
        raise NotStated("checkpointing unknown")
    return text == "yes"


def _accumulation(row: dict[str, str]) -> int:
    found = re.search(r"gradient accumulation (\d+)", row["note"])
    return int(found[1]) if found else 1


def lengths_vary(row: dict[str, str]) -> bool:
    """Whether batches differ in length: dynamic padding, or a cap above the data's mean length."""
    if row["seq_is_padded_max"] != "yes":
        return True
    mean = re.search(r"tokens mean (\d+)", row["note"])
    return bool(mean) and row["seq_len"].isdigit() and int(row["seq_len"]) > int(mean[1])


def length_known(row: dict[str, str]) -> bool:
    """Whether the fullest micro-batch is known to reach the length; else the column is only a cap.

    peft's comparison caps the characters of a sample, which its longest ones reach.
    """
    return row["seq_is_padded_max"] == "yes" or source_of(row["id"]) == "peft-mm"
