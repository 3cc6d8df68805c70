"""The plan for Unsloth's command line: `unsloth train --config config.yaml` (Unsloth 2026.10)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from trainers.export.table import Export, Said, Table, Target, Translation, Unsaid, devices, translate
from trainers.foreign.text import yaml
from trainers.plan import TrainingPlan

TARGET = Target(
    title="Unsloth",
    version="2026.10.9",
    trains_by_itself=True,
    methods=("lora", "qlora", "full"),
)
CONFIG = "config.yaml"
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What it means by all linear layers of a text model."""


def export(plan: TrainingPlan) -> Export:
    """`config.yaml` with everything that Unsloth's command line can be told; keys of a section read SECTION.KEY."""
    flat, dropped = translate(plan, TABLE)
    config: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, name = key.rpartition(".")
        (config.setdefault(section, {}) if section else config)[name] = value
    return Export(
        files={CONFIG: yaml(config)},
        command=f"{devices(plan)}unsloth train --config {CONFIG}",
        dropped=dropped,
        notes=("its command line trains on one GPU, with a linear schedule, and evaluates nothing",),
    )


def _model(plan: TrainingPlan) -> Said:
    if plan.model.gguf_file:
        return "Unsloth does not train from GGUF; convert the model to safetensors first"
    known = {"model": plan.model.name}
    return (known, "its command line takes no revision of a model") if plan.model.revision else known


def _dataset(plan: TrainingPlan) -> Said:
    dataset = plan.dataset
    if dataset is None:
        return "the plan names no dataset"
    is_file = bool(Path(dataset.source).suffix)
    where: dict[str, Any] = {"data.local_dataset": [dataset.source]} if is_file else {"data.dataset": dataset.source}
    keys = where | {"data.format_type": "raw" if dataset.format == "text" else "chatml"}
    if dataset.eval_source or dataset.eval_fraction:
        return keys, "its command line keeps no part back: all examples are trained on"
    return keys


def _dtype(plan: TrainingPlan) -> Said:
    return (
        {} if plan.compute_dtype == "bf16" else "it computes in bf16 where the GPU can, and in fp16 where it cannot"
    )


def _epochs(plan: TrainingPlan) -> Said:
    whole = {"training.num_epochs": max(1, math.ceil(plan.num_epochs))}
    return whole if whole["training.num_epochs"] == plan.num_epochs else (whole, "it takes whole epochs only")


def _checkpointing(plan: TrainingPlan) -> dict[str, Any]:
    word = "true" if plan.gradient_checkpointing else "none"
    return {"training.gradient_checkpointing": "unsloth" if plan.activation_offload else word}


def _targets(plan: TrainingPlan) -> dict[str, Any]:
    targets = list(plan.lora_targets or ())
    return {"lora.target_modules": ",".join(LINEARS if targets == ["all-linear"] else targets)} if targets else {}


def _loss_on(plan: TrainingPlan) -> Said:
    keys = {"training.train_on_completions": plan.loss_on != "all"}
    return (keys, "every answer is learnt, not only the last") if plan.loss_on == "completion" else keys


def _reporters(plan: TrainingPlan) -> Said:
    keys = {f"logging.enable_{name}": True for name in plan.report_to if name in ("wandb", "tensorboard")}
    rest = [name for name in plan.report_to if f"logging.enable_{name}" not in keys]
    return (keys, f"it does not report to {', '.join(rest)}") if rest else keys


def _named(key: str, field: str) -> Translation:
    """The same value; left out when it is None or belongs to another method."""
    return lambda plan: {} if getattr(plan, field) is None else {key: getattr(plan, field)}


TABLE: Table = {
    "model": _model,
    "dataset": _dataset,
    "output_dir": _named("training.output_dir", "output_dir"),
    "method": lambda plan: {"training.training_type": "full" if plan.method == "full" else "lora"},
    "quantization": lambda plan: {"training.load_in_4bit": plan.quantization == "nf4"},
    "compute_dtype": _dtype,
    "weights_dtype": lambda plan: "it chooses the dtype of the weights" if plan.weights_dtype == "fp32" else {},
    "lora_rank": _named("lora.lora_r", "lora_rank"),
    "lora_alpha": _named("lora.lora_alpha", "lora_alpha"),
    "lora_dropout": _named("lora.lora_dropout", "lora_dropout"),
    "lora_targets": _targets,
    "lora_expert_targets": Unsaid("no LoRA on expert tensors"),
    "lora_expert_rank": Unsaid("no LoRA on expert tensors"),
    "use_rslora": lambda plan: {"lora.use_rslora": True} if plan.use_rslora else {},
    "use_dora": lambda plan: {"lora.use_dora": True} if plan.use_dora else {},
    "lora_init": lambda plan: (
        "no PiSSA" if plan.lora_init == "pissa" else {"lora.use_loftq": True} if plan.lora_init == "loftq" else {}
    ),
    "loraplus_lr_ratio": Unsaid("no LoRA+"),
    "modules_to_save": Unsaid("its command line trains no modules in full beside the adapter"),
    "trainable_token_indices": Unsaid("no trainable tokens"),
    "optimizer": Unsaid("its command line chooses the optimizer"),
    "learning_rate": _named("training.learning_rate", "learning_rate"),
    "lr_scheduler": Unsaid("its command line has one schedule"),
    "min_lr_ratio": Unsaid("no least rate"),
    "warmup_steps": _named("training.warmup_steps", "warmup_steps"),
    "weight_decay": _named("training.weight_decay", "weight_decay"),
    "max_grad_norm": Unsaid("its command line does not set the clipping of gradients"),
    "neftune_noise_alpha": Unsaid("no NEFTune"),
    "micro_batch_size": _named("training.batch_size", "micro_batch_size"),
    "gradient_accumulation_steps": _named("training.gradient_accumulation_steps", "gradient_accumulation_steps"),
    "eval_micro_batch_size": Unsaid("it evaluates nothing"),
    "max_seq_len": _named("training.max_seq_length", "max_seq_len"),
    "packing": _named("training.packing", "packing"),
    "length_grouping": Unsaid("no grouping by length"),
    "loss_on": _loss_on,
    "num_epochs": _epochs,
    "max_steps": _named("training.max_steps", "max_steps"),
    "gradient_checkpointing": _checkpointing,
    # said by gradient_checkpointing: its own kind of it is the one that off-loads
    "activation_offload": lambda plan: (
        {} if plan.gradient_checkpointing or not plan.activation_offload else "it off-loads what it checkpoints only"
    ),
    "attention": Unsaid("it chooses the attention kernel"),
    "loss_kernel": Unsaid("it brings a loss kernel of its own"),
    "accelerator": lambda plan: "Unsloth trains on GPUs" if plan.accelerator == "cpu" else {},
    "sharding": Unsaid("its command line trains on one GPU"),
    "num_nodes": lambda plan: "its command line trains on one machine" if plan.num_nodes > 1 else {},
    "cpu_offload": Unsaid("no CPU off-load of states"),
    "save_steps": _named("training.save_steps", "save_steps"),
    "save_total_limit": Unsaid("it keeps every checkpoint"),
    "eval_steps": Unsaid("it evaluates nothing"),
    "load_best_model_at_end": Unsaid("it delivers the last step"),
    "early_stopping_patience": Unsaid("it evaluates nothing"),
    "logging_steps": Unsaid("its command line logs every step"),
    "seed": _named("training.random_seed", "seed"),
    "dataloader_workers": Unsaid("its command line does not set them"),
    "report_to": _reporters,
}
"""Every field of a plan in the words of its command line's sections: training, data, lora, logging."""
