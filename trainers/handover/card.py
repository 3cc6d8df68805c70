"""The model card of a result: what it is, what it was trained on, how well it does, how to run it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.foreign.text import comment, python, yaml
from trainers.handover.serving import Served, as_published, published
from trainers.language import later, tr
from trainers.method import METHODS
from trainers.plan import Engine, TrainingPlan, plan_to_dict
from trainers.run_folder import layout

_SETTINGS = (
    "method", "quantization", "compute_dtype",
    "lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "use_rslora",
    "use_dora", "num_virtual_tokens", "adapter_bottleneck", "optimizer", "learning_rate", "lr_scheduler",
    "warmup_steps", "weight_decay", "num_epochs", "max_steps", "max_seq_len", "packing", "loss_on", "seed",
)  # fmt: skip

_DATA = {
    "train_examples": later("training examples"),
    "eval_examples": later("evaluation examples"),
    "train_tokens": later("training tokens"),
    "supervised_tokens": later("tokens that are learnt"),
    "truncated_examples": later("truncated examples"),
    "format": later("format"),
}
"""Of the record of the run -> what the card calls it."""

CAUSAL = "AutoModelForCausalLM"
"""The class that loads the result where the record of the run names no other (`auto_class`)."""


def model_card(
    plan: TrainingPlan, record: dict[str, Any], *, folder: Path, base: str, name: str, served: Mapping[Engine, Served]
) -> str:
    """README.md for the folder of a result, in the language in use. What is not known is left out.

    Its head is for the model hubs, settings are called as the plan calls them.
    The commands say `.` for the folder, as they are read by people who have a copy of it.
    """
    adapter = (folder / "adapter_config.json").is_file()
    shown = published(base)
    commands = _commands(as_published(served, folder, base))
    code = _code(plan, shown, name, adapter, record.get("auto_class") or CAUSAL)
    sections = [
        _front_matter(plan, base if shown == base else None, adapter),
        f"# {comment(name)}\n\n{_summary(plan, record, shown, adapter)}",
        f"## {tr('Use')}\n\n```python\n{code}\n```\n\n{commands}",
        _results(record),
        f"## {tr('Training')}\n\n{_table(_settings(plan))}",
        _data(record),
        f"## {tr('Versions')}\n\n{_table(record['versions'])}" if record.get("versions") else "",
    ]
    return "\n\n".join(section.strip() for section in sections if section.strip()) + "\n"


def _code_span(text: str) -> str:
    """Text between two backticks of Markdown."""
    return comment(text).replace("`", "'")


def _front_matter(plan: TrainingPlan, base: str | None, adapter: bool) -> str:
    relation = "adapter" if adapter else "finetune"
    tags = ["sft", plan.method, "sft-advisor"]
    known_base = {"base_model": base, "base_model_relation": relation} if base else {}
    table = {
        **known_base,
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": tags,
    }
    return f"---\n{yaml(table)}---"


def _summary(plan: TrainingPlan, record: dict[str, Any], base: str, adapter: bool) -> str:
    method = tr(METHODS[plan.method].title)
    if plan.quantization == "nf4":
        method = tr("{method} (LoRA on a 4-bit NF4 base)", method=method)
    said = {"base": _code_span(base), "method": method}
    what = tr("Adapter for `{base}` by {method}", **said) if adapter else tr("`{base}` tuned by {method}", **said)
    trained = (record.get("parameters") or {}).get("trainable")
    share = tr(", {trained} trained parameters", trained=f"{trained:,}") if trained else ""
    source = tr(", on `{data}`", data=_code_span(Path(plan.dataset.source).name)) if plan.dataset else ""
    return what + share + source + tr(".")


_READER = {"AutoTokenizer": "tokenizer", "AutoProcessor": "processor"}
_ASKED = '"..."'
_PICTURE_ASKED = '[{"type": "image", "image": Image.open("picture.png")}, {"type": "text", "text": "..."}]'


def _code(plan: TrainingPlan, base: str, name: str, adapter: bool, auto_class: str = CAUSAL) -> str:
    reads = "AutoProcessor" if plan.reads_images else "AutoTokenizer"
    lines = [f"from transformers import {auto_class}, {reads}", ""]
    if plan.reads_images:
        lines[:0] = ["# pip install pillow torchvision num2words: what processors ask for", "from PIL import Image"]
    lines += [f"{_READER[reads]} = {reads}.from_pretrained({python(name)})"]
    if not METHODS[plan.method].read_by_peft and adapter:
        lines = [
            "from pathlib import Path",
            f"from trainers.methods import {plan.method}",
            "from trainers.plan import load_plan",
            *lines,
        ]
        lines += [f'model = {plan.method}.attach(load_plan(Path("{layout.PLAN}")), Path({python(name)}))']
    elif adapter:
        lines.insert(0, "from peft import PeftModel")
        lines += [
            f'base = {auto_class}.from_pretrained({python(base)}, dtype="auto")',
            f"model = PeftModel.from_pretrained(base, {python(name)})",
        ]
    else:
        lines += [f'model = {auto_class}.from_pretrained({python(name)}, dtype="auto")']
    lines += [
        f'messages = [{{"role": "user", "content": {_PICTURE_ASKED if plan.reads_images else _ASKED}}}]',
        f"inputs = {_READER[reads]}.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, "
        'return_tensors="pt", return_dict=True)',
        "output = model.generate(**inputs, max_new_tokens=256)",
        f'print({_READER[reads]}.decode(output[0][inputs["input_ids"].shape[1]:], skip_special_tokens=True))',
    ]
    return "\n".join(lines)


def _commands(served: Mapping[Engine, Served]) -> str:
    parts = []
    for engine, how in served.items():
        if engine == "transformers":
            continue
        body = f"```sh\n{how.command}\n```" if how.command else tr("Not as it is: {refused}.", refused=how.refused)
        parts.append(f"**{engine}**\n\n{body}")
    return "\n\n".join(parts)


def _results(record: dict[str, Any]) -> str:
    rows = {}
    evaluation = record.get("evaluation") or {}
    base, tuned = evaluation.get("base") or {}, evaluation.get("tuned") or {}
    for key, label in (("loss", tr("loss on the kept-back part")), ("perplexity", tr("perplexity"))):
        if tuned.get(key) is not None:
            rows[label] = _before_and_after(base.get(key), tuned[key])
    if tuned.get("exact_of"):
        both = _before_and_after(base.get("exact", 0) if base else None, tuned["exact"])
        rows[tr("exact answers")] = tr("{both}, of {count}", both=both, count=tuned["exact_of"])
    delivered = record.get("delivered") or {}
    if {"step", "reason"} <= delivered.keys():
        rows[tr("delivered step")] = f"{delivered['step']}: {comment(delivered['reason'])}"
    gap = (record.get("merge") or {}).get("gap")
    if gap:
        same = {"kl": f"{gap['kl']:.1e}", "share": f"{gap['equal_top_tokens']:.1%}"}
        rows[tr("adapter against merged")] = tr("KL {kl} nats, same top token at {share}", **same)
    if record.get("tokens_per_second"):
        speed = f"{record['tokens_per_second']:,.0f}"
        device = record.get("device") or tr("this device")
        rows[tr("training speed")] = tr("{speed} tokens/s on {device}", speed=speed, device=device)
    return f"## {tr('Results')}\n\n{_table(rows)}" if rows else ""


def _before_and_after(before: float | None, after: float) -> str:
    now = tr("{value} after", value=f"{after:.4g}")
    return now if before is None else tr("{value} before, {now}", value=f"{before:.4g}", now=now)


def _settings(plan: TrainingPlan) -> dict[str, Any]:
    raw = plan_to_dict(plan)
    chosen = {name: raw[name] for name in _SETTINGS if raw.get(name) not in (None, False, [], "none")}
    if plan.max_steps:
        chosen.pop("num_epochs", None)
    return {**chosen, "global_batch_size": plan.global_batch_size}


def _data(record: dict[str, Any]) -> str:
    data = record.get("data") or {}
    rows = {tr(said): data[name] for name, said in _DATA.items() if data.get(name) is not None}
    return f"## {tr('Data')}\n\n{_table(rows)}" if rows else ""


def _table(rows: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, list | tuple):
            return ", ".join(map(str, value))
        said = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        return comment(said).replace("|", "\\|").replace("<", "&lt;")

    return "\n".join(["| | |", "| --- | --- |", *[f"| {name} | {text(value)} |" for name, value in rows.items()]])
