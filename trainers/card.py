"""The model card of a result: what it is, what it was trained on, how well it does, how to run it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.plan import Engine, TrainingPlan, plan_to_dict
from trainers.serving import Served

_SETTINGS = (
    "method", "quantization", "compute_dtype",
    "lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "use_rslora",
    "use_dora", "num_virtual_tokens", "adapter_bottleneck", "optimizer", "learning_rate", "lr_scheduler",
    "warmup_steps", "weight_decay", "num_epochs", "max_steps", "max_seq_len", "packing", "loss_on", "seed",
)  # fmt: skip


def model_card(
    plan: TrainingPlan, record: dict[str, Any], *, folder: Path, base: str, name: str, served: Mapping[Engine, Served]
) -> str:
    """README.md for the folder of a result, as the model hubs read it. What is not known is left out.

    The commands say `.` for the folder, as they are read by people who have a copy of it.
    """
    adapter = (folder / "adapter_config.json").is_file()
    sections = [
        _front_matter(plan, base, adapter),
        f"# {name}\n\n{_summary(plan, record, base, adapter)}",
        f"## Use\n\n```python\n{_code(plan, base, name, adapter)}\n```\n\n{_commands(served, folder)}",
        _results(record),
        f"## Training\n\n{_table(_settings(plan))}",
        _data(record),
        f"## Versions\n\n{_table(record['versions'])}" if record.get("versions") else "",
    ]
    return "\n\n".join(section.strip() for section in sections if section.strip()) + "\n"


def _front_matter(plan: TrainingPlan, base: str, adapter: bool) -> str:
    relation = "adapter" if adapter else "finetune"
    tags = ["sft", plan.method, "sft-advisor"]
    lines = [
        "---",
        f"base_model: {base}",
        f"base_model_relation: {relation}",
        f"library_name: {'peft' if adapter else 'transformers'}",
        "pipeline_tag: text-generation",
        "tags:",
        *[f"- {tag}" for tag in tags],
        "---",
    ]
    return "\n".join(lines)


def _summary(plan: TrainingPlan, record: dict[str, Any], base: str, adapter: bool) -> str:
    kinds = {
        "full": "full fine-tuning",
        "lora": "LoRA",
        "qlora": "QLoRA (LoRA on a 4-bit NF4 base)",
        "prefix": "prefix tuning",
        "adapter": "bottleneck adapters",
    }
    what = "Adapter for" if adapter else "Fine-tuned from"
    trained = (record.get("parameters") or {}).get("trainable")
    share = f", {trained:,} trained parameters" if trained else ""
    source = f", on `{Path(plan.dataset.source).name}`" if plan.dataset else ""
    return f"{what} `{base}` by {kinds[plan.method]}{share}{source}."


def _code(plan: TrainingPlan, base: str, name: str, adapter: bool) -> str:
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    lines += [f'tokenizer = AutoTokenizer.from_pretrained("{name}")']
    if plan.method == "adapter":
        lines = [
            "from pathlib import Path",
            "from trainers import adapter",
            "from trainers.plan import load_plan",
            *lines,
        ]
        lines += [f'model = adapter.attach(load_plan(Path("plan.toml")), Path("{name}"))']
    elif adapter:
        lines.insert(0, "from peft import PeftModel")
        lines += [
            f'base = AutoModelForCausalLM.from_pretrained("{base}", dtype="auto")',
            f'model = PeftModel.from_pretrained(base, "{name}")',
        ]
    else:
        lines += [f'model = AutoModelForCausalLM.from_pretrained("{name}", dtype="auto")']
    lines += [
        'messages = [{"role": "user", "content": "..."}]',
        'inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", '
        "return_dict=True)",
        "output = model.generate(**inputs, max_new_tokens=256)",
        'print(tokenizer.decode(output[0][inputs["input_ids"].shape[1]:], skip_special_tokens=True))',
    ]
    return "\n".join(lines)


def _commands(served: Mapping[Engine, Served], folder: Path) -> str:
    parts = []
    for engine, how in served.items():
        if engine == "transformers":
            continue
        command = (how.command or "").replace(str(folder), ".")
        body = f"```sh\n{command}\n```" if how.command else f"Not as it is: {how.refused}."
        parts.append(f"**{engine}**\n\n{body}")
    return "\n\n".join(parts)


def _results(record: dict[str, Any]) -> str:
    rows = {}
    evaluation = record.get("evaluation") or {}
    base, tuned = evaluation.get("base") or {}, evaluation.get("tuned") or {}
    for key, label in (("loss", "loss on the kept-back part"), ("perplexity", "perplexity")):
        if tuned.get(key) is not None:
            before = f"{base[key]:.4g} before, " if base.get(key) is not None else ""
            rows[label] = f"{before}{tuned[key]:.4g} after"
    if tuned.get("exact_of"):
        before = f"{base.get('exact', 0)} before, " if base else ""
        rows["exact answers"] = f"{before}{tuned['exact']} after, of {tuned['exact_of']}"
    gap = (record.get("merge") or {}).get("gap")
    if gap:
        rows["adapter against merged"] = f"KL {gap['kl']:.1e} nats, same top token at {gap['equal_top_tokens']:.1%}"
    if record.get("tokens_per_second"):
        rows["training speed"] = (
            f"{record['tokens_per_second']:,.0f} tokens/s on {record.get('device', 'this device')}"
        )
    return f"## Results\n\n{_table(rows)}" if rows else ""


def _settings(plan: TrainingPlan) -> dict[str, Any]:
    raw = plan_to_dict(plan)
    chosen = {name: raw[name] for name in _SETTINGS if raw.get(name) not in (None, False, [], "none")}
    if plan.max_steps:
        chosen.pop("num_epochs", None)
    return {**chosen, "global_batch_size": plan.global_batch_size}


def _data(record: dict[str, Any]) -> str:
    data = record.get("data") or {}
    names = ("train_examples", "eval_examples", "train_tokens", "supervised_tokens", "truncated_examples", "format")
    rows = {name.replace("_", " "): data[name] for name in names if data.get(name) is not None}
    return f"## Data\n\n{_table(rows)}" if rows else ""


def _table(rows: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, list | tuple):
            return ", ".join(map(str, value))
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

    return "\n".join(["| | |", "| --- | --- |", *[f"| {name} | {text(value)} |" for name, value in rows.items()]])
