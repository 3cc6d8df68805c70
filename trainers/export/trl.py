"""The plan for TRL's command line: `trl sft --config sft.yaml` (TRL 1.16)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainers.export.table import (
    Export,
    Said,
    Table,
    Target,
    Unsaid,
    best_step,
    by_value,
    devices,
    named,
    translate,
    when,
)
from trainers.foreign.text import yaml
from trainers.plan import Dtype, TrainingPlan

TARGET = Target(
    title="TRL",
    version="1.16.0",
    trains_by_itself=True,
    methods=("lora", "qlora", "full"),
)
CONFIG = "sft.yaml"
_DTYPE: dict[Dtype, str] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_LAUNCH = {"none": "single_gpu", "ddp": "multi_gpu", "fsdp": "fsdp2", "zero2": "zero2", "zero3": "zero3"}


def export(plan: TrainingPlan) -> Export:
    """`sft.yaml` with everything that TRL can be told."""
    config, dropped = translate(plan, TABLE)
    notes = []
    if config.get("assistant_only_loss"):
        notes.append(
            "assistant_only_loss needs a chat template with generation marks; TRL knows about 30 and stops at others"
        )
    return Export(
        files={CONFIG: yaml(config)},
        command=f"{devices(plan)}trl sft --config {CONFIG}",
        dropped=dropped,
        notes=tuple(notes),
    )


def _model(plan: TrainingPlan) -> Said:
    if plan.model.gguf_file:
        return "TRL does not read GGUF; convert the model to safetensors first"
    revision = {"model_revision": plan.model.revision} if plan.model.revision else {}
    return {"model_name_or_path": plan.model.name, **revision}


def _dataset(plan: TrainingPlan) -> Said:
    dataset = plan.dataset
    if dataset is None:
        return "the plan names no dataset"
    if dataset.eval_source:
        return "TRL takes its evaluation set from the same dataset; eval_source cannot be said"
    path = Path(dataset.source)
    source: dict[str, Any] = {"path": dataset.source, "split": dataset.split}
    if path.suffix:
        kind = {".parquet": "parquet", ".csv": "csv"}.get(path.suffix, "json")
        source = {"path": kind, "data_files": dataset.source, "split": "train"}
    share = {"test_split_size": dataset.eval_fraction} if dataset.eval_fraction else {}
    return {"datasets": [source], **share}


def _quantization(plan: TrainingPlan) -> dict[str, Any]:
    if plan.quantization == "none":
        return {}
    storage = {"bnb_4bit_quant_storage": _DTYPE[plan.compute_dtype]} if plan.sharding in ("fsdp", "zero3") else {}
    return {"load_in_4bit": True, "use_bnb_nested_quant": True, "bnb_4bit_quant_type": "nf4", **storage}


def _compute_dtype(plan: TrainingPlan) -> dict[str, Any]:
    return {"bf16": plan.compute_dtype == "bf16", "fp16": plan.compute_dtype == "fp16"}


def _weights_dtype(plan: TrainingPlan) -> Said:
    if plan.quantization != "none" and plan.weights_dtype != plan.compute_dtype:
        return "one dtype serves for 4-bit products and for what is not packed"
    return {"dtype": _DTYPE[plan.weights_dtype]}


def _targets(plan: TrainingPlan) -> dict[str, Any]:
    targets = list(plan.lora_targets or ())
    return {"lora_target_modules": "all-linear" if targets == ["all-linear"] else targets} if targets else {}


def _scheduler(plan: TrainingPlan) -> dict[str, Any]:
    least = {"lr_scheduler_kwargs": {"min_lr_rate": plan.min_lr_ratio}}
    return {
        "lr_scheduler_type": plan.lr_scheduler,
        **(least if plan.lr_scheduler == "cosine_with_min_lr" else {}),
    }


def _sharding(plan: TrainingPlan) -> dict[str, Any]:
    processes = {"num_processes": plan.num_gpus} if plan.num_gpus > 1 else {}
    return {"accelerate_config": _LAUNCH[plan.sharding], **processes} if plan.accelerator != "cpu" else {}


TABLE: Table = {
    "model": _model,
    "dataset": _dataset,
    "output_dir": named("output_dir"),
    "method": lambda plan: {"use_peft": plan.trains_adapter},
    "quantization": _quantization,
    "compute_dtype": _compute_dtype,
    "weights_dtype": _weights_dtype,
    "lora_rank": named("lora_r", "lora_rank"),
    "lora_alpha": named("lora_alpha"),
    "lora_dropout": named("lora_dropout"),
    "lora_targets": _targets,
    "lora_expert_targets": lambda plan: (
        {"lora_target_parameters": list(plan.lora_expert_targets)} if plan.lora_expert_targets else {}
    ),
    "lora_expert_rank": Unsaid("one rank for every adapter"),
    "use_rslora": when("use_rslora", {"use_rslora": True}),
    "use_dora": when("use_dora", {"use_dora": True}),
    "lora_init": Unsaid("the command line has no initialisation of LoRA"),
    "loraplus_lr_ratio": Unsaid("the command line has no LoRA+"),
    "modules_to_save": lambda plan: (
        {"lora_modules_to_save": list(plan.modules_to_save)} if plan.modules_to_save else {}
    ),
    "trainable_token_indices": Unsaid("the command line has no trainable tokens"),
    "optimizer": named("optim", "optimizer"),
    "learning_rate": named("learning_rate"),
    "lr_scheduler": _scheduler,
    "min_lr_ratio": lambda plan: (
        "only lr_scheduler = cosine_with_min_lr has a least rate"
        if plan.min_lr_ratio and plan.lr_scheduler != "cosine_with_min_lr"
        else {}
    ),
    "warmup_steps": named("warmup_steps"),
    "weight_decay": named("weight_decay"),
    "max_grad_norm": named("max_grad_norm"),
    "neftune_noise_alpha": named("neftune_noise_alpha"),
    "micro_batch_size": named("per_device_train_batch_size", "micro_batch_size"),
    "gradient_accumulation_steps": named("gradient_accumulation_steps"),
    "eval_micro_batch_size": named("per_device_eval_batch_size", "eval_micro_batch_size"),
    "max_seq_len": named("max_length", "max_seq_len"),
    "packing": named("packing"),
    "length_grouping": when("length_grouping", {"train_sampling_strategy": "group_by_length"}),
    "loss_on": by_value(
        "loss_on",
        {
            "assistant": {"assistant_only_loss": True},
            "completion": (
                {"assistant_only_loss": True},
                "every answer of a conversation is learnt, not only the last",
            ),
            "all": {"completion_only_loss": False},
        },
    ),
    "num_epochs": named("num_train_epochs", "num_epochs"),
    "max_steps": named("max_steps"),
    "gradient_checkpointing": named("gradient_checkpointing"),
    "activation_offload": when("activation_offload", {"activation_offloading": True}),
    "attention": by_value(
        "attention",
        {
            "eager": {"attn_implementation": "eager"},
            "sdpa": {"attn_implementation": "sdpa"},
            "flash2": {"attn_implementation": "flash_attention_2"},
        },
    ),
    "loss_kernel": by_value(
        "loss_kernel",
        {"chunked": {}, "liger": {"use_liger_kernel": True}, "full": "TRL always computes the loss in tiles"},
    ),
    "accelerator": lambda plan: {"use_cpu": True} if plan.accelerator == "cpu" else {},
    "num_nodes": lambda plan: {"num_machines": plan.num_nodes} if plan.num_nodes > 1 else {},
    "sharding": _sharding,
    "cpu_offload": Unsaid("its named launch configurations have no off-load; write an accelerate file for it"),
    "save_steps": named("save_steps"),
    "save_total_limit": named("save_total_limit"),
    "eval_steps": lambda plan: {"eval_strategy": "steps", "eval_steps": plan.eval_steps} if _evaluates(plan) else {},
    "load_best_model_at_end": lambda plan: best_step(plan) if _evaluates(plan) else {},
    "early_stopping_patience": Unsaid("the command line has no early stopping"),
    "logging_steps": named("logging_steps"),
    "seed": named("seed"),
    "dataloader_workers": named("dataloader_num_workers", "dataloader_workers"),
    "report_to": lambda plan: {"report_to": list(plan.report_to) or ["none"]},
}
"""Every field of a plan in the words of SFTConfig, ModelConfig and the launcher."""


def _evaluates(plan: TrainingPlan) -> bool:
    return bool(plan.dataset and plan.dataset.eval_fraction and not plan.dataset.eval_source)
