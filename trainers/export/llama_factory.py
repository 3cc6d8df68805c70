"""The plan for LLaMA-Factory 0.9.5: `llamafactory-cli train sft.yaml`, with its registry of datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainers.export.pictures import template
from trainers.export.table import (
    Export,
    Said,
    Table,
    Target,
    Unsaid,
    as_json,
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
from trainers.pictures.opening import LARGEST_PIXELS
from trainers.plan import TrainingPlan

TARGET = Target(
    title="LLaMA-Factory",
    version="0.9.5",
    trains_by_itself=True,
    methods=("lora", "qlora", "full"),
    pictures="marks",
)
CONFIG = "sft.yaml"
REGISTRY = "dataset_info.json"
_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}


def export(plan: TrainingPlan) -> Export:
    """`sft.yaml`, the registry that names the dataset, and a DeepSpeed file where the plan shards."""
    config, dropped = translate(plan, TABLE)
    files = {CONFIG: yaml(config), REGISTRY: as_json(_registry(plan))}
    if plan.sharding in ("zero2", "zero3"):
        files[_deepspeed_file(plan)] = as_json(_deepspeed(plan))
    several = "FORCE_TORCHRUN=1 " if plan.num_gpus > 1 else ""
    return Export(
        files=files,
        command=f"{devices(plan)}{several}{meeting(plan)}llamafactory-cli train {CONFIG}",
        dropped=dropped,
        notes=(_about_template(plan),),
    )


def _about_template(plan: TrainingPlan) -> str:
    if plan.reads_images:
        return "its built-in `template` shows the pictures and is other code than the tokenizer's: compare a row"
    return "no `template` is named, so that the tokenizer's own is parsed: the built-in ones are other code"


def _pictures(plan: TrainingPlan) -> dict[str, Any]:
    if not plan.reads_images:
        return {}
    named = template(plan, "llamafactory", TARGET.title)
    return {
        "template": named.removesuffix("_nothink") if "thinking" in plan.model.name.lower() else named,
        "freeze_vision_tower": True,
        "freeze_multi_modal_projector": True,
        # its own limit is 768 x 768; without one the processor alone scales
        "image_max_pixels": plan.max_pixels or LARGEST_PIXELS,
    }


def _registry(plan: TrainingPlan) -> dict[str, Any]:
    if plan.dataset is None:
        return {}
    entries = {"train": _entry(plan, plan.dataset.source)}
    if plan.dataset.eval_source:
        entries["evaluation"] = _entry(plan, plan.dataset.eval_source)
    return entries


def _entry(plan: TrainingPlan, source: str) -> dict[str, Any]:
    assert plan.dataset is not None
    place = {"file_name": source} if Path(source).suffix else {"hf_hub_url": source, "split": plan.dataset.split}
    if plan.dataset.format == "text":
        return {**place, "columns": {"prompt": "text"}}
    columns = {"messages": "messages", **({"images": "images"} if plan.reads_images else {})}
    return {**place, "formatting": "sharegpt", "columns": columns, "tags": _TAGS}


def _model(plan: TrainingPlan) -> Said:
    if plan.model.gguf_file:
        return "LLaMA-Factory does not read GGUF; convert the model to safetensors first"
    revision = {"model_revision": plan.model.revision} if plan.model.revision else {}
    return {"model_name_or_path": plan.model.name, **revision}


def _dataset(plan: TrainingPlan) -> Said:
    if plan.dataset is None:
        return "the plan names no dataset"
    config: dict[str, Any] = {"dataset": "train", "dataset_dir": "."}
    if plan.dataset.eval_source:
        return config | {"eval_dataset": "evaluation"}
    return config | ({"val_size": plan.dataset.eval_fraction} if plan.dataset.eval_fraction else {})


def _method(plan: TrainingPlan) -> dict[str, Any]:
    return {"stage": "pt" if _is_text(plan) else "sft", "do_train": True, "finetuning_type": _tuner(plan)}


def _tuner(plan: TrainingPlan) -> str:
    return "full" if plan.method == "full" else "lora"


def _is_text(plan: TrainingPlan) -> bool:
    return plan.dataset is not None and plan.dataset.format == "text"


def _targets(plan: TrainingPlan) -> dict[str, Any]:
    targets = list(plan.lora_targets or ())
    return {"lora_target": "all" if targets == ["all-linear"] else ",".join(targets)} if targets else {}


def _compute_dtype(plan: TrainingPlan) -> dict[str, Any]:
    return {"bf16": plan.compute_dtype == "bf16", "fp16": plan.compute_dtype == "fp16"}


def _weights_dtype(plan: TrainingPlan) -> Said:
    if plan.method == "full" and plan.weights_dtype == "bf16" and plan.compute_dtype == "bf16":
        # without it trainable weights are upcast to fp32
        return {"pure_bf16": True}
    if plan.method != "full" and plan.weights_dtype != plan.compute_dtype:
        return "the frozen weights are held in the dtype that is computed in"
    return {}


def _scheduler(plan: TrainingPlan) -> dict[str, Any]:
    least = {"lr_scheduler_kwargs": {"min_lr_rate": plan.min_lr_ratio}}
    return {"lr_scheduler_type": plan.lr_scheduler, **(least if plan.lr_scheduler == "cosine_with_min_lr" else {})}


def _least_rate(plan: TrainingPlan) -> Said:
    if plan.min_lr_ratio and plan.lr_scheduler != "cosine_with_min_lr":
        return "only lr_scheduler = cosine_with_min_lr has a least rate"
    return {}


def _evaluation(plan: TrainingPlan) -> dict[str, Any]:
    has_some = plan.dataset and (plan.dataset.eval_source or plan.dataset.eval_fraction)
    return {"eval_strategy": "steps", "eval_steps": plan.eval_steps} if has_some else {}


def _sharding(plan: TrainingPlan) -> Said:
    if plan.sharding == "fsdp":
        return "FSDP needs `accelerate launch` with an accelerate file; take zero3, which it starts by itself"
    return {"deepspeed": _deepspeed_file(plan)} if plan.sharding in ("zero2", "zero3") else {}


def _deepspeed_file(plan: TrainingPlan) -> str:
    return f"ds_{plan.sharding}{'_offload' if plan.cpu_offload else ''}.json"


def _deepspeed(plan: TrainingPlan) -> dict[str, Any]:
    stage = 2 if plan.sharding == "zero2" else 3
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}
    if plan.cpu_offload:
        zero["offload_optimizer"] = {"device": "cpu"}
        zero |= {"offload_param": {"device": "cpu"}} if stage == 3 else {}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    automatic = (
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "gradient_clipping",
    )
    return {
        **dict.fromkeys(automatic, "auto"),
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "zero_optimization": zero,
    }


def _offload(plan: TrainingPlan) -> Said:
    return "off-load needs zero2 or zero3" if plan.cpu_offload and plan.sharding not in ("zero2", "zero3") else {}


def _loss_on(plan: TrainingPlan) -> dict[str, Any]:
    if _is_text(plan):
        return {}
    return {"assistant": {}, "completion": {"mask_history": True}, "all": {"train_on_prompt": True}}[plan.loss_on]


TABLE: Table = {
    "model": _model,
    "dataset": _dataset,
    "output_dir": named("output_dir"),
    "method": _method,
    "quantization": lambda plan: (
        {
            "quantization_bit": 4,
            "quantization_method": "bnb",
            "quantization_type": "nf4",
            "double_quantization": True,
        }
        if plan.quantization == "nf4"
        else {}
    ),
    "compute_dtype": _compute_dtype,
    "weights_dtype": _weights_dtype,
    "lora_rank": named("lora_rank"),
    "lora_alpha": named("lora_alpha"),
    "lora_dropout": named("lora_dropout"),
    "lora_targets": _targets,
    "lora_expert_targets": Unsaid("no LoRA on expert tensors"),
    "lora_expert_rank": Unsaid("no LoRA on expert tensors"),
    "use_rslora": when("use_rslora", {"use_rslora": True}),
    "use_dora": when("use_dora", {"use_dora": True}),
    "lora_init": by_value(
        "lora_init", {"default": {}, "pissa": {"pissa_init": True, "pissa_convert": True}, "loftq": "no LoftQ"}
    ),
    "loraplus_lr_ratio": named("loraplus_lr_ratio"),
    "modules_to_save": lambda plan: (
        {"additional_target": ",".join(plan.modules_to_save)} if plan.modules_to_save else {}
    ),
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
    "max_seq_len": named("cutoff_len", "max_seq_len"),
    # neat packing keeps the samples of a row apart; plain packing would let them see each other
    "packing": when("packing", {"packing": True, "neat_packing": True}),
    "length_grouping": Unsaid("its option is named differently in each version of transformers that it allows"),
    "loss_on": _loss_on,
    "reads_images": _pictures,
    "max_pixels": lambda plan: {},
    "num_epochs": named("num_train_epochs", "num_epochs"),
    "max_steps": named("max_steps"),
    "gradient_checkpointing": lambda plan: {"disable_gradient_checkpointing": not plan.gradient_checkpointing},
    "activation_offload": Unsaid("no activation off-load"),
    "attention": by_value(
        "attention",
        {"eager": {"flash_attn": "disabled"}, "sdpa": {"flash_attn": "sdpa"}, "flash2": {"flash_attn": "fa2"}},
    ),
    "loss_kernel": liger_or_whole_logits("enable_liger_kernel"),
    "accelerator": lambda plan: {"use_cpu": True} if plan.accelerator == "cpu" else {},
    "sharding": _sharding,
    "cpu_offload": _offload,
    "save_steps": named("save_steps"),
    "save_total_limit": named("save_total_limit"),
    "eval_steps": _evaluation,
    "load_best_model_at_end": best_step,
    "early_stopping_patience": patience("early_stopping_steps"),
    "logging_steps": named("logging_steps"),
    "seed": named("seed"),
    "dataloader_workers": named("dataloader_num_workers", "dataloader_workers"),
    "report_to": lambda plan: {"report_to": list(plan.report_to) or "none"},
}
"""Every field of a plan in the words of LLaMA-Factory's arguments."""
