"""The plan for Axolotl: `axolotl train config.yaml` (Axolotl 0.21)."""

from __future__ import annotations

from typing import Any

from trainers.accelerators import by_cuda_api
from trainers.export.pictures import language_model_alone, template
from trainers.export.table import (
    FIRST_NODE,
    Export,
    Said,
    Table,
    Target,
    Unsaid,
    best_step,
    by_value,
    devices,
    named,
    patience,
    translate,
    when,
)
from trainers.foreign.text import yaml
from trainers.plan import TrainingPlan

TARGET = Target(
    title="Axolotl",
    version="0.21.0",
    trains_by_itself=True,
    methods=("lora", "qlora", "full"),
    pictures="parts",
)
CONFIG = "config.yaml"


def export(plan: TrainingPlan) -> Export:
    """`config.yaml` with everything that Axolotl can be told."""
    config, dropped = translate(plan, TABLE)
    notes = []
    if plan.sharding in ("zero2", "zero3"):
        notes.append("fetch the DeepSpeed files first: axolotl fetch deepspeed_configs")
    return Export(
        files={CONFIG: yaml(config)},
        command=f"{devices(plan)}axolotl train {CONFIG}{_processes(plan)}",
        dropped=dropped,
        notes=tuple(notes),
    )


def _processes(plan: TrainingPlan) -> str:
    if plan.num_gpus == 1:
        return ""
    nodes = f" --nnodes={plan.num_nodes} --rdzv-endpoint={FIRST_NODE}:29500" if plan.num_nodes > 1 else ""
    return f" --launcher torchrun -- --nproc-per-node={plan.num_gpus // plan.num_nodes}{nodes}"


def _model(plan: TrainingPlan) -> Said:
    if plan.model.gguf_file:
        return "Axolotl does not read GGUF; convert the model to safetensors first"
    revision = {"revision_of_model": plan.model.revision} if plan.model.revision else {}
    return {"base_model": plan.model.name, **revision}


def _dataset(plan: TrainingPlan) -> Said:
    dataset = plan.dataset
    if dataset is None:
        return "the plan names no dataset"
    config: dict[str, Any] = {"datasets": [_source(plan, dataset.source, dataset.split)]}
    if plan.reads_images:
        config["chat_template"] = template(plan, "axolotl", TARGET.title)
    elif dataset.format != "text":
        config["chat_template"] = "tokenizer_default"
    if dataset.eval_source:
        return config | {"test_datasets": [_source(plan, dataset.eval_source, "train")]}
    return config | {"val_set_size": dataset.eval_fraction}


def _source(plan: TrainingPlan, source: str, split: str) -> dict[str, Any]:
    assert plan.dataset is not None
    entry: dict[str, Any] = {"path": source}
    if source.endswith((".jsonl", ".json")):
        entry["ds_type"] = "json"
    entry["split"] = split
    if plan.dataset.format == "text":
        return entry | {"type": "completion", "field": "text"}
    return entry | {
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
        "roles_to_train": ["assistant"],
    }


def _method(plan: TrainingPlan) -> dict[str, Any]:
    return {"lora": {"adapter": "lora"}, "qlora": {"adapter": "qlora"}}.get(plan.method, {})


def _expert_rank(plan: TrainingPlan) -> Said:
    if plan.lora_expert_rank is None:
        return {}
    if not plan.lora_expert_targets:
        return "the plan adapts no expert tensors"
    return {"lora_rank_pattern": dict.fromkeys(plan.lora_expert_targets, plan.lora_expert_rank)}


def _targets(plan: TrainingPlan) -> dict[str, Any]:
    targets = list(plan.lora_targets or ())
    if targets and plan.reads_images:
        return {"lora_target_modules": language_model_alone(tuple(targets))}
    if targets == ["all-linear"]:
        return {"lora_target_linear": True}
    return {"lora_target_modules": targets} if targets else {}


def _pictures(plan: TrainingPlan) -> dict[str, Any]:
    """As its documentation asks for; what it prepares beforehand are words alone."""
    if not plan.reads_images:
        return {}
    return {
        "processor_type": "AutoProcessor",
        "skip_prepare_dataset": True,
        "remove_unused_columns": False,
        "freeze_mm_modules": True,
    }


def _weights_dtype(plan: TrainingPlan) -> Said:
    if plan.weights_dtype != plan.compute_dtype:
        return f"Axolotl holds the weights in the dtype that it computes in ({plan.compute_dtype})"
    return {}


def _scheduler(plan: TrainingPlan) -> dict[str, Any]:
    least = plan.lr_scheduler == "cosine_with_min_lr"
    return {"lr_scheduler": "cosine" if least else plan.lr_scheduler}


def _least_rate(plan: TrainingPlan) -> Said:
    if plan.lr_scheduler == "cosine_with_min_lr":
        return {"cosine_min_lr_ratio": plan.min_lr_ratio}
    return "only a cosine schedule has a least rate" if plan.min_lr_ratio else {}


def _sharding(plan: TrainingPlan) -> dict[str, Any]:
    if plan.sharding == "fsdp":
        return {
            "fsdp_version": 2,
            "fsdp_config": {
                "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "state_dict_type": "FULL_STATE_DICT",
                "reshard_after_forward": True,
                "offload_params": plan.cpu_offload,
                "cpu_ram_efficient_loading": plan.quantization == "none",
                "activation_checkpointing": plan.gradient_checkpointing,
            },
        }
    files = {("zero2", False): "zero2", ("zero3", False): "zero3_bf16", ("zero3", True): "zero3_bf16_cpuoffload_all"}
    file = files.get((plan.sharding, plan.cpu_offload))
    return {"deepspeed": f"deepspeed_configs/{file}.json"} if file else {}


def _offload(plan: TrainingPlan) -> Said:
    if plan.cpu_offload and plan.sharding not in ("fsdp", "zero3"):
        return "its files have CPU off-load for FSDP and ZeRO-3 only"
    return {}


def _loss_on(plan: TrainingPlan) -> Said:
    if plan.loss_on == "completion":
        return {"train_on_inputs": False}, "every answer of a conversation is learnt, not only the last"
    return {"train_on_inputs": plan.loss_on == "all"}


def _reporters(plan: TrainingPlan) -> Said:
    unknown = sorted(set(plan.report_to) - {"wandb", "tensorboard", "mlflow", "comet", "trackio"})
    if unknown:
        return f"Axolotl does not report to {', '.join(unknown)}"
    return {f"use_{name}": True for name in plan.report_to}


def _lora_init(plan: TrainingPlan) -> dict[str, Any]:
    if plan.lora_init == "loftq":
        return {"peft": {"loftq_config": {"loftq_bits": 4}}}
    return {"peft_init_lora_weights": "pissa"} if plan.lora_init == "pissa" else {}


TABLE: Table = {
    "model": _model,
    "dataset": _dataset,
    "output_dir": named("output_dir"),
    "method": _method,
    "quantization": lambda plan: {"load_in_4bit": True} if plan.quantization == "nf4" else {},
    "compute_dtype": by_value(
        "compute_dtype", {"bf16": {"bf16": True}, "fp16": {"fp16": True}, "fp32": {"bf16": False}}
    ),
    "weights_dtype": _weights_dtype,
    "lora_rank": named("lora_r", "lora_rank"),
    "lora_alpha": named("lora_alpha"),
    "lora_dropout": named("lora_dropout"),
    "lora_targets": _targets,
    "lora_expert_targets": lambda plan: (
        {"lora_target_parameters": list(plan.lora_expert_targets)} if plan.lora_expert_targets else {}
    ),
    "lora_expert_rank": _expert_rank,
    "use_rslora": when("use_rslora", {"peft_use_rslora": True}),
    "use_dora": when("use_dora", {"peft_use_dora": True}),
    "lora_init": _lora_init,
    "loraplus_lr_ratio": named("loraplus_lr_ratio"),
    "modules_to_save": lambda plan: (
        {"lora_modules_to_save": list(plan.modules_to_save)} if plan.modules_to_save else {}
    ),
    "trainable_token_indices": lambda plan: (
        {"peft_trainable_token_indices": list(plan.trainable_token_indices)} if plan.trainable_token_indices else {}
    ),
    "optimizer": named("optimizer"),
    "learning_rate": named("learning_rate"),
    "lr_scheduler": _scheduler,
    "min_lr_ratio": _least_rate,
    "warmup_steps": named("warmup_steps"),
    "weight_decay": named("weight_decay"),
    "max_grad_norm": named("max_grad_norm"),
    "neftune_noise_alpha": named("neftune_noise_alpha"),
    "micro_batch_size": named("micro_batch_size"),
    "gradient_accumulation_steps": named("gradient_accumulation_steps"),
    "eval_micro_batch_size": named("eval_batch_size", "eval_micro_batch_size"),
    "max_seq_len": named("sequence_len", "max_seq_len"),
    "packing": lambda plan: {
        "sample_packing": plan.packing,
        **({"eval_sample_packing": False} if plan.packing else {}),
    },
    "length_grouping": lambda plan: {"group_by_length": True} if plan.length_grouping and not plan.packing else {},
    "loss_on": _loss_on,
    "reads_images": _pictures,
    "max_pixels": Unsaid("its image_size pads every picture to a square"),
    "num_epochs": named("num_epochs"),
    "max_steps": named("max_steps"),
    "gradient_checkpointing": lambda plan: {
        "gradient_checkpointing": plan.gradient_checkpointing and plan.sharding != "fsdp"
    },
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
        {
            "full": {},
            "chunked": {"chunked_cross_entropy": True},
            "liger": {
                "plugins": ["axolotl.integrations.liger.LigerPlugin"],
                "liger_fused_linear_cross_entropy": True,
            },
        },
    ),
    "accelerator": lambda plan: {} if by_cuda_api(plan.accelerator) else "Axolotl trains on GPUs",
    "sharding": _sharding,
    "cpu_offload": _offload,
    "save_steps": named("save_steps"),
    "save_total_limit": named("save_total_limit"),
    "eval_steps": named("eval_steps"),
    "load_best_model_at_end": best_step,
    "early_stopping_patience": patience("early_stopping_patience"),
    "logging_steps": named("logging_steps"),
    "seed": named("seed"),
    "dataloader_workers": named("dataloader_num_workers", "dataloader_workers"),
    "report_to": _reporters,
}
"""Every field of a plan in the words of AxolotlInputConfig."""
