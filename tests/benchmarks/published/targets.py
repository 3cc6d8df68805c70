"""LoRA targets of a row, in any framework's words, as the names of the catalogue's linears."""

from __future__ import annotations

import re

from advisor.estimate.dims import block_dims
from advisor.model.spec import ModelSpec
from tests.benchmarks.published.rows import NotExpressed

_EVERYTHING = re.compile(
    r"(?i)all|auto|linear|all[- _]linear.*|all[- ](linear[- ])?(layers|modules|projections)|"
    r"all linear incl\. output|regex on language layers"
)
"""Axolotl's regular expression for multimodal models names every projection of the language blocks."""
_WORDS = {
    "query": ("q",),
    "q": ("q",),
    "wq": ("q",),
    "key": ("k",),
    "k": ("k",),
    "wk": ("k",),
    "value": ("v",),
    "v": ("v",),
    "wv": ("v",),
    "qkv": ("q", "k", "v"),
    "query_key_value": ("q", "k", "v"),
    "attn": ("q", "k", "v"),
    "attention": ("q", "k", "v", "o"),
    "qkvo": ("q", "k", "v", "o"),
    "self_attn": ("q", "k", "v", "o"),
    "projection": ("o",),
    "proj": ("o",),
    "o": ("o",),
    "wo": ("o",),
    "output_proj": ("o",),
    "mlp": ("mlp",),
    "feed_forward": ("mlp",),
}
"""A framework's own word -> parts of a block."""
_CROSS_ATTENTION = ("q_attn",)
"""GPT-2's name for queries that meet another model's keys: a decoder alone has none, and peft passes it by."""
_HEAD = ("head", "lm_head", "output")
"""An adapter on the head has rank x (width + vocabulary) values: megabytes, which no row's digits show."""


def lora_targets(text: str, model: ModelSpec) -> tuple[str, ...]:
    """Names as the catalogue's model has them. Raises NotExpressed when a part of the list is not understood."""
    stated = re.sub(
        r"(?:swift DEFAULT|peft default) \((.*)\)", r"\1", re.sub(r" ?\(example command\)", "", text)
    ).strip()
    if _EVERYTHING.fullmatch(stated):
        return ("all-linear",)
    names = {linear.name for group in model.layers for linear in group.linears}
    found: dict[str, None] = {}
    for word in (part.strip() for part in re.split(r"\s*[+,/&]\s*|\s+and\s+", stated)):
        if word in names:
            found[word] = None
            continue
        if word in _HEAD or word in _CROSS_ATTENTION:
            continue
        parts = _WORDS.get(re.sub(r"_proj$", "", word)) or _WORDS.get(word)
        matched = [name for part in parts or () for name in _linears(model, part)]
        if not matched:
            raise NotExpressed(f"LoRA targets: {word} of {text}")
        found |= dict.fromkeys(matched)
    if not found:
        raise NotExpressed(f"LoRA targets: {text}")
    return tuple(found)


def _linears(model: ModelSpec, part: str) -> list[str]:
    """The linears that are this part of a block; queries, keys and values may share one."""
    dims = block_dims(model, model.layers[0])
    if part == "mlp":
        return [linear.name for feed in dims.feeds for linear in (*feed.inputs, feed.output) if linear is not None]
    if part == "o":
        return [dims.attention_output.name] if dims.attention_output is not None else []
    own = [linear.name for linear in dims.attention_inputs if linear.name in (part, f"{part}_proj")]
    return own or [linear.name for linear in dims.attention_inputs[:1]]
