"""The plan for ms-swift: `swift sft sft.yaml` (ms-swift 4.6)."""

from __future__ import annotations

from typing import Any

from trainers.export.pictures import language_model_alone, template
from trainers.export.table import (
    Export,
    Said,
    Table,
    Target,
    Unsaid,
    best_step,
    by_value,
    devices,
    liger_or_whole_logits,
    meeting,
    named,
    patience,
    translate,
    when,
)
from trainers.foreign.text import yaml
from trainers.plan import Dtype, TrainingPlan

TARGET = Target(
    title="ms-swift",
    version="4.6.0",
    trains_by_itself=True,
    methods=("lora", "qlora", "full"),
    pictures="marks",
)
CONFIG = "sft.yaml"
_DTYPE: dict[Dtype, str] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def export(plan: TrainingPlan) -> Export:
    """`sft.yaml` with everything that ms-swift can be told."""
    config, dropped = translate(plan, TABLE)
    several = f"NPROC_PER_NODE={plan.num_gpus // plan.num_nodes} " if plan.num_gpus > 1 else ""
    return Export(
        files={CONFIG: yaml(config)},
        command=f"{devices(plan)}{several}{meeting(plan)}swift sft {CONFIG}",
        dropped=dropped,
        notes=(
            "for a model that is not on a hub add model_type and template, which cannot be read off a local folder",
        ),
    )


def _model(plan: TrainingPlan) -> Said:
    if plan.model.gguf_file:
        return "ms-swift does not read GGUF; convert the model to safetensors first"
    revision = {"model_revision": plan.model.revision} if plan.model.revision else {}
    return {"model": plan.model.name, "use_hf": True, **revision}


def _dataset(plan: TrainingPlan) -> Said:
    if plan.dataset is None:
        return "the plan names no dataset"
    config: dict[str, Any] = {"dataset": [plan.dataset.source]}
    if plan.dataset.eval_source:
        return config | {"val_dataset": [plan.dataset.eval_source]}
    return config | {"split_dataset_ratio": plan.dataset.eval_fraction}


def _targets(plan: TrainingPlan) -> dict[str, Any]:
    if plan.lora_targets and plan.reads_images:
        return {"target_regex": language_model_alone(plan.lora_targets)}
    return {"target_modules": list(plan.lora_targets)} if plan.lora_targets else {}


def _pictures(plan: TrainingPlan) -> dict[str, Any]:
    if not plan.reads_images:
        return {}
    template(plan, "ms-swift", TARGET.title)
    return {"freeze_llm": False, "freeze_vit": True, "freeze_aligner": True}


def _quantization(plan: TrainingPlan) -> dict[str, Any]:
    if plan.quantization == "none":
        return {}
    storage = {"bnb_4bit_quant_storage": _DTYPE[plan.compute_dtype]} if plan.sharding in ("fsdp", "zero3") else {}
    return {
        "quant_method": "bnb",
        "quant_bits": 4,
        "bnb_4bit_compute_dtype": _DTYPE[plan.compute_dtype],
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        **storage,
    }


def _scheduler(plan: TrainingPlan) -> dict[str, Any]:
    least = {"lr_scheduler_kwargs": {"min_lr_rate": plan.min_lr_ratio}}
    return {"lr_scheduler_type": plan.lr_scheduler, **(least if plan.lr_scheduler == "cosine_with_min_lr" else {})}


def _least_rate(plan: TrainingPlan) -> Said:
    if plan.min_lr_ratio and plan.lr_scheduler != "cosine_with_min_lr":
        return "only lr_scheduler = cosine_with_min_lr has a least rate"
    return {}


def _packing(plan: TrainingPlan) -> Said:
    if plan.packing and plan.attention != "flash2":
        return "ms-swift packs with flash attention only (attention = flash2)"
    return {"packing": plan.packing}


def _sharding(plan: TrainingPlan) -> dict[str, Any]:
    if plan.sharding == "fsdp":
        return {"fsdp": "fsdp2"}
    if plan.sharding in ("zero2", "zero3"):
        return {"deepspeed": f"{plan.sharding}_offload" if plan.cpu_offload else plan.sharding}
    return {}


def _offload(plan: TrainingPlan) -> Said:
    return "off-load needs zero2 or zero3" if plan.cpu_offload and plan.sharding not in ("zero2", "zero3") else {}


def _compute_dtype(plan: TrainingPlan) -> dict[str, Any]:
    return {"bf16": plan.compute_dtype == "bf16", "fp16": plan.compute_dtype == "fp16"}


def _loss_on(plan: TrainingPlan) -> dict[str, Any]:
    return {"loss_scale": {"assistant": "default", "completion": "last_round", "all": "all"}[plan.loss_on]}


TABLE: Table = {
    "model": _model,
    "dataset": _dataset,
    "output_dir": named("output_dir"),
    "method": lambda plan: {"tuner_type": "full" if plan.method == "full" else "lora"},
    "quantization": _quantization,
    "compute_dtype": _compute_dtype,
    "weights_dtype": lambda plan: {"torch_dtype": _DTYPE[plan.weights_dtype]},
    "lora_rank": named("lora_rank"),
    "lora_alpha": named("lora_alpha"),
    "lora_dropout": named("lora_dropout"),
    "lora_targets": _targets,
    "lora_expert_targets": lambda plan: (
        {"target_parameters": list(plan.lora_expert_targets)} if plan.lora_expert_targets else {}
    ),
    "lora_expert_rank": Unsaid("one rank for every adapter"),
    "use_rslora": when("use_rslora", {"use_rslora": True}),
    "use_dora": when("use_dora", {"use_dora": True}),
    "lora_init": by_value(
        "lora_init", {"default": {}, "pissa": {"init_weights": "pissa"}, "loftq": {"init_weights": "loftq"}}
    ),
    "loraplus_lr_ratio": named("lorap_lr_ratio", "loraplus_lr_ratio"),
    "modules_to_save": lambda plan: {"modules_to_save": list(plan.modules_to_save)} if plan.modules_to_save else {},
    "adapter_bottleneck": Unsaid("its bottleneck adapters are placed differently"),
    "optimizer": named("optim", "optimizer"),
    "learning_rate": named("learning_rate"),
    "lr_scheduler": _scheduler,
    "min_lr_ratio": _least_rate,
    "warmup_steps": named("warmup_steps"),
    "weight_decay": named("weight_decay"),
    "max_grad_norm": named("max_grad_norm"),
    "neftune_noise_alpha": named("neftune_noise_alpha"),
    "micro_batch_size": named("per_device_train_batch_size", "micro_batch_size"),
    "gradient_accumulation_steps": named("gradient_accumulation_steps"),
    "eval_micro_batch_size": named("per_device_eval_batch_size", "eval_micro_batch_size"),
    "max_seq_len": named("max_length", "max_seq_len"),
    "packing": _packing,
    "length_grouping": when("length_grouping", {"group_by_length": True}),
    "loss_on": _loss_on,
    "reads_images": _pictures,
    "max_pixels": named("max_pixels"),
    "num_epochs": named("num_train_epochs", "num_epochs"),
    "max_steps": named("max_steps"),
    "gradient_checkpointing": named("gradient_checkpointing"),
    "activation_offload": Unsaid("no activation off-load outside FSDP"),
    "attention": by_value(
        "attention",
        {"eager": {"attn_impl": "eager"}, "sdpa": {"attn_impl": "sdpa"}, "flash2": {"attn_impl": "flash_attn"}},
    ),
    "loss_kernel": liger_or_whole_logits("use_liger_kernel"),
    "accelerator": lambda plan: {"use_cpu": True} if plan.accelerator == "cpu" else {},
    "sharding": _sharding,
    "cpu_offload": _offload,
    "save_steps": named("save_steps"),
    "save_total_limit": named("save_total_limit"),
    "eval_steps": named("eval_steps"),
    "load_best_model_at_end": best_step,
    "early_stopping_patience": patience("early_stop_interval"),
    "logging_steps": named("logging_steps"),
    "seed": named("seed"),
    "dataloader_workers": named("dataloader_num_workers", "dataloader_workers"),
    "report_to": lambda plan: {"report_to": list(plan.report_to) or ["none"]},
}
"""Every field of a plan in the words of SftArguments."""
