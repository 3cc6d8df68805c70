"""The method of a row: a plan's method, its fields, and what of it only the stack can say."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from advisor.estimate.forms import ENCODED_PROMPT, FORMS, NORMS, PROJECTED_PREFIX, TOKENS
from advisor.estimate.trained import LowRank, Part
from advisor.model.params import expert_names
from advisor.model.spec import ModelSpec
from tests.benchmarks.published.rows import NotExpressed, NotStated, number
from tests.benchmarks.published.targets import lora_targets


class Reading(NamedTuple):
    """What a method column and its note mean."""

    method: str
    """Of the plan, before quantisation."""
    fields: dict[str, Any]
    """Of the plan."""
    stack: dict[str, Any]
    """Changes of the stack."""


_NO_LINEAR = ("no linear",)
_FORMS = {
    "lora-fa": "lora_fa",
    "bone": "miss",
    "ln_tuning": NORMS,
    "layernorm": NORMS,
    "prompt_tuning": TOKENS,
    "prompt-tuning": TOKENS,
    "trainable_tokens": TOKENS,
    "p_tuning": ENCODED_PROMPT,
    "p-tuning": ENCODED_PROMPT,
    "ptuning": ENCODED_PROMPT,
} | {name: name for name in FORMS}
"""Method column -> form of the estimator."""
_GALORE_STATE_BYTES = 1 + 4 / 256
"""An 8-bit state with an fp32 scale for each 256 values."""


def reading_of(row: dict[str, str], model: ModelSpec) -> Reading:
    """Raises NotExpressed for a method that neither plan nor stack can say."""
    text, note = row["method"].lower(), row["note"].lower()
    if text in ("lora", "qlora", "dora"):
        kind = "lora" if text == "dora" else text
        return Reading(kind, _lora_fields(row, model) | {"use_dora": text == "dora"}, {})
    if text == "prefix" or (text == "ptuning" and "prefix" in note):
        return _prefix(row, model)
    if text == "adapter":
        return Reading("adapter", {"adapter_bottleneck": _bottleneck(row, model)}, {})
    if text in _FORMS:
        return _form(row, model, _FORMS[text])
    if text.startswith("full"):
        return Reading("full", {}, _full(row, text))
    blocks = re.search(r"freeze \((\d+) layers?\)", text) or re.search(r"num_blocks=(\d+)", note)
    if blocks is not None:
        return Reading("full", {}, {"part": Part(blocks=int(blocks[1]), last="freeze" in text)})
    raise NotExpressed(f"method {row['method']}")


def added_blocks(row: dict[str, str]) -> int:
    """Blocks that LLaMA Pro puts into the model."""
    found = re.search(r"num_blocks=(\d+)", row["note"]) if row["method"] == "llamapro" else None
    return int(found[1]) if found else 0


def _full(row: dict[str, str], text: str) -> dict[str, Any]:
    """GaLore, APOLLO, LISA and BAdam, from the method's bracket, the optimizer and the note."""
    kind = text + " " + row["optimizer"].lower()
    note = row["note"].lower()
    if "lisa" in kind:
        blocks = re.search(r"lisa_activated_layers=(\d+)", note)
        if blocks is None:
            raise NotStated("active layers of LISA unknown")
        return {"part": Part(blocks=int(blocks[1]), outer=True)}
    if "badam" in kind:
        return {"part": Part(blocks=1, fp32_master=True)}
    if "galore" in kind or "apollo" in kind:
        rank = re.search(r"rank[= ](\d+)", note)
        if rank is None:
            raise NotStated("rank of the projected gradients unknown")
        eight_bit = "quantize" in note or "8bit" in kind
        return {
            "foreach": False,
            "low_rank": LowRank(
                rank=int(rank[1]),
                projector="apollo" not in kind,
                outer="with_embedding=true" in note,
                state_bytes=_GALORE_STATE_BYTES if eight_bit else None,
            ),
        }
    if text != "full":
        raise NotExpressed(f"method {row['method']}")
    return {}


def _form(row: dict[str, str], model: ModelSpec, form: str) -> Reading:
    if form == NORMS:
        return Reading("lora", {"lora_targets": _NO_LINEAR, "lora_rank": 1, "lora_alpha": 1}, {"form": form})
    if form in (TOKENS, ENCODED_PROMPT):
        tokens = _prompt_tokens(row, model)
        fields: dict[str, Any] = {"lora_targets": _NO_LINEAR, "lora_rank": 1, "lora_alpha": 1}
        if row["method"] == "trainable_tokens":
            fields["trainable_token_indices"] = tuple(range(tokens))
        else:
            fields["num_virtual_tokens"] = tokens
        return Reading("lora", fields, {"form": form})
    if form == "miss" and "bat" in row["source"].rpartition("--")[2]:
        form = "miss_bat"
    rank = int(row["lora_r"]) if row["lora_r"].isdigit() else 1
    targets = lora_targets(row["lora_targets"], model)
    fields = {"lora_targets": targets, "lora_rank": rank, "lora_alpha": rank}
    return Reading("qlora" if row["base_dtype"] == "nf4" else "lora", fields, {"form": form})


def _prompt_tokens(row: dict[str, str], model: ModelSpec) -> int:
    stated = re.search(r"(\d+) virtual tok|prefix (?:length )?(\d+)", row["note"])
    if stated is not None:
        return int(stated[1] or stated[2])
    trained = re.search(r"trainable params=(\d+)", row["note"])
    if trained is None:
        raise NotStated("number of virtual tokens unknown")
    return max(1, int(trained[1]) // model.hidden_size)


def _prefix(row: dict[str, str], model: ModelSpec) -> Reading:
    """Peft's prefixes, or those of ChatGLM, which two linears may make."""
    stated = re.search(r"(\d+) virtual tok|prefix (?:length )?(\d+)", row["note"])
    each = 2 * model.num_hidden_layers * model.num_key_value_heads * model.head_dim
    if stated is not None:
        tokens = int(stated[1] or stated[2])
    else:
        trained = re.search(r"trainable params=(\d+)", row["note"])
        if trained is None:
            raise NotStated("number of virtual tokens unknown")
        tokens = max(1, int(trained[1]) // each)
    changes = {"form": PROJECTED_PREFIX} if "with projection" in row["note"] else {}
    recomputes = row["framework"].startswith(("DeepSpeed", "THUDM")) and row["grad_ckpt"] == "yes"
    return Reading("prefix", {"num_virtual_tokens": tokens, "gradient_checkpointing": recomputes}, changes)


def _bottleneck(row: dict[str, str], model: ModelSpec) -> int:
    """The width that gives as many trained values as the note states: two adapters a block, with biases."""
    stated = re.search(r"trainable ([\d.]+)\(", row["note"])
    if stated is None:
        raise NotStated("width of the adapters unknown")
    hidden = model.hidden_size
    each = float(stated[1]) * 1e6 / (2 * model.num_hidden_layers)
    return max(1, round((each - hidden) / (2 * hidden + 1)))


def _lora_fields(row: dict[str, str], model: ModelSpec) -> dict[str, Any]:
    rank = number(row["lora_r"], "rank")
    if row["lora_targets"] in ("unknown", "na"):
        raise NotStated(f"LoRA targets: {row['lora_targets']}")
    stated = row["lora_targets"]
    experts = expert_names(model) if re.search(r"\bexperts\b", stated) else ()
    if experts and row["base_dtype"] not in ("bf16", "fp16", "fp32"):
        raise NotExpressed("adapters on quantised experts, by kernels of a framework's own")
    if experts:
        stated = re.sub(r"\s*\+?\s*\bexperts\b", "", stated)
    whole = "embed_tokens" in stated
    if whole:
        stated = re.sub(r"\+?(embed_tokens|lm_head)", "", stated)
    fields: dict[str, Any] = {
        "lora_rank": rank,
        "lora_alpha": 2 * rank,
        "lora_targets": lora_targets(stated, model),
        "lora_expert_targets": experts,
    }
    dropout = row["source"].startswith(
        ("foundation-model-stack", "QwenLM", "modelscope", "AnswerDotAI", "Lightning-AI")
    )
    fields["lora_dropout"] = 0.05 if dropout else 0.0
    tokens = re.fullmatch(r"(\d+) tokens", row["train_embeddings"])
    if row["train_embeddings"] == "yes" or whole:
        fields["modules_to_save"] = ("embed_tokens", "lm_head")
    elif tokens is not None:
        fields["trainable_token_indices"] = tuple(range(int(tokens[1])))
    elif row["train_embeddings"] not in ("no", "unknown"):
        raise NotExpressed(f"train_embeddings: {row['train_embeddings']}")
    return fields
