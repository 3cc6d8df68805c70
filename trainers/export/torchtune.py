"""The plan for torchtune: `tune run RECIPE --config config.yaml` (torchtune 0.6, its last)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from trainers.errors import PlanRefused
from trainers.export.table import FIRST_NODE, Export, Said, Table, Target, Unsaid, by_value, devices, named, translate
from trainers.foreign.text import shell, yaml
from trainers.paths import find_local
from trainers.plan import TrainingPlan

TARGET = Target(
    title="torchtune",
    version="0.6.1",
    trains_by_itself=True,
    methods=("lora", "qlora", "full"),
)
CONFIG = "config.yaml"


class Built(NamedTuple):
    """A model that torchtune has a builder for."""

    package: str
    builder: str
    kind: str
    """As its checkpointer calls the family."""
    files: int
    """Of the weights on the hub."""


MODELS = {
    r"llama-?3\.3.*70b": Built("llama3_3", "llama3_3_70b", "LLAMA3", 30),
    r"llama-?3\.2.*1b": Built("llama3_2", "llama3_2_1b", "LLAMA3_2", 1),
    r"llama-?3\.2.*3b": Built("llama3_2", "llama3_2_3b", "LLAMA3_2", 2),
    r"llama-?3\.1.*70b": Built("llama3_1", "llama3_1_70b", "LLAMA3", 30),
    r"llama-?3\.1.*8b": Built("llama3_1", "llama3_1_8b", "LLAMA3", 4),
    r"llama-?3-70b": Built("llama3", "llama3_70b", "LLAMA3", 30),
    r"llama-?3-8b": Built("llama3", "llama3_8b", "LLAMA3", 4),
    r"qwen2\.5-0\.5b": Built("qwen2_5", "qwen2_5_0_5b", "QWEN2", 1),
    r"qwen2\.5-1\.5b": Built("qwen2_5", "qwen2_5_1_5b", "QWEN2", 1),
    r"qwen2\.5-3b": Built("qwen2_5", "qwen2_5_3b", "QWEN2", 2),
    r"qwen2\.5-7b": Built("qwen2_5", "qwen2_5_7b", "QWEN2", 4),
    r"qwen2\.5-14b": Built("qwen2_5", "qwen2_5_14b", "QWEN2", 8),
    r"qwen2\.5-32b": Built("qwen2_5", "qwen2_5_32b", "QWEN2", 17),
    r"qwen2\.5-72b": Built("qwen2_5", "qwen2_5_72b", "QWEN2", 37),
}
"""Pattern of a model's name, in lower case -> what builds it: the Llama 3 and Qwen2.5 text models."""
ONE_BUILDER = ("qwen2_5_0_5b", "qwen2_5_3b")
"""Of Qwen2.5 those whose base and instruct models share a builder."""
ATTENTION = {"q_proj": "q_proj", "k_proj": "k_proj", "v_proj": "v_proj", "o_proj": "output_proj"}
MLP = {"gate_proj", "up_proj", "down_proj"}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw_torch_fused": {"_component_": "torch.optim.AdamW", "fused": True},
    "adamw_torch": {"_component_": "torch.optim.AdamW"},
    "adamw_8bit": {"_component_": "bitsandbytes.optim.AdamW8bit"},
    "paged_adamw_8bit": {"_component_": "bitsandbytes.optim.PagedAdamW8bit"},
    "paged_adamw_32bit": {"_component_": "bitsandbytes.optim.PagedAdamW"},
    "lion_8bit": {"_component_": "bitsandbytes.optim.Lion8bit"},
    "sgd": {"_component_": "torch.optim.SGD"},
    "adafactor": {"_component_": "torch.optim.Adafactor"},
}
LORA_RECIPES = ("lora", "qlora")


def export(plan: TrainingPlan) -> Export:
    """`config.yaml` for its recipe of this method, on one GPU or several. Raises PlanRefused for other models."""
    config, dropped = translate(plan, TABLE)
    config |= {"shuffle": True, "resume_from_checkpoint": False, "compile": False}
    config["metric_logger"] = {
        "_component_": "torchtune.training.metric_logging.DiskLogger",
        "log_dir": f"{plan.output_dir}/logs",
    }
    config["profiler"] = {"_component_": "torchtune.training.setup_torch_profiler", "enabled": False}
    local = find_local(plan.model.name)
    fetch = "" if local else f"tune download {shell(plan.model.name)} --output-dir {shell(_folder(plan))} && "
    return Export(
        files={CONFIG: yaml(config)},
        command=f"{fetch}{devices(plan)}tune run {_recipe(plan)} --config {CONFIG}",
        dropped=dropped,
        notes=("torchtune gains no features any more, and knows no model that came after April 2025",),
    )


def _recipe(plan: TrainingPlan) -> str:
    kind = "lora_finetune" if plan.method in LORA_RECIPES else "full_finetune"
    if plan.num_gpus == 1:
        return f"{kind}_single_device"
    nodes = f"--nnodes {plan.num_nodes} --rdzv_endpoint {FIRST_NODE}:29500 " if plan.num_nodes > 1 else ""
    return f"{nodes}--nproc_per_node {plan.num_gpus // plan.num_nodes} {kind}_distributed"


def _built(plan: TrainingPlan) -> Built:
    name = plan.model.name.lower()
    found = next((built for pattern, built in MODELS.items() if re.search(pattern, name)), None)
    if found is None:
        raise PlanRefused(
            f"torchtune has no builder for {plan.model.name} that this export knows",
            why="its models are written by hand, one a size: Llama 3 to 3.3 and Qwen2.5 are known here",
            fix="export to trl or axolotl, which read the model's own configuration",
        )
    return found


def _folder(plan: TrainingPlan) -> str:
    return plan.model.name if find_local(plan.model.name) else f"models/{Path(plan.model.name).name}"


def _model(plan: TrainingPlan) -> Said:
    """Builder, tokenizer and checkpointer: all three follow from the model."""
    built, folder = _built(plan), _folder(plan)
    names = [f"model-{part:05d}-of-{built.files:05d}.safetensors" for part in range(1, built.files + 1)]
    checkpointer = {
        "_component_": "torchtune.training.FullModelHFCheckpointer",
        "checkpoint_dir": folder,
        "checkpoint_files": names if built.files > 1 else ["model.safetensors"],
        "output_dir": plan.output_dir,
        "model_type": built.kind,
    }
    keys = {
        "model": {"_component_": f"torchtune.models.{built.package}.{_builder(plan, built)}", **_adapter(plan)},
        "tokenizer": _tokenizer(plan, built, folder),
        "checkpointer": checkpointer,
    }
    return (keys, "it downloads the main branch of a model") if plan.model.revision else keys


def _builder(plan: TrainingPlan, built: Built) -> str:
    name = built.builder
    if built.package == "qwen2_5" and name not in ONE_BUILDER:
        name += "_instruct" if "instruct" in plan.model.name.lower() else "_base"
    return f"lora_{name}" if plan.method in LORA_RECIPES else name


def _adapter(plan: TrainingPlan) -> dict[str, Any]:
    if plan.method not in LORA_RECIPES:
        return {}
    targets = set(plan.lora_targets or ())
    everything = targets == {"all-linear"}
    attention = [ours for name, ours in ATTENTION.items() if everything or name in targets]
    return {
        "lora_attn_modules": attention,
        "apply_lora_to_mlp": everything or bool(targets & MLP),
        "lora_rank": plan.lora_rank,
        "lora_alpha": plan.lora_alpha,
        "lora_dropout": plan.lora_dropout,
        "use_dora": plan.use_dora,
        "quantize_base": plan.quantization == "nf4",
    }


def _tokenizer(plan: TrainingPlan, built: Built, folder: str) -> dict[str, Any]:
    if built.package == "qwen2_5":
        files = {"path": f"{folder}/vocab.json", "merges_file": f"{folder}/merges.txt"}
        return {"_component_": "torchtune.models.qwen2_5.qwen2_5_tokenizer", **files, "max_seq_len": plan.max_seq_len}
    return {
        "_component_": "torchtune.models.llama3.llama3_tokenizer",
        "path": f"{folder}/original/tokenizer.model",
        "max_seq_len": plan.max_seq_len,
    }


def _dataset(plan: TrainingPlan) -> Said:
    dataset = plan.dataset
    if dataset is None:
        return "the plan names no dataset"
    is_file = bool(Path(dataset.source).suffix)
    source = {"source": "json", "data_files": dataset.source} if is_file else {"source": dataset.source}
    common = {**source, "split": dataset.split, "packed": plan.packing}
    if dataset.format == "text":
        config = {"_component_": "torchtune.datasets.text_completion_dataset", **common, "column": "text"}
    else:
        config = {
            "_component_": "torchtune.datasets.chat_dataset",
            **common,
            "conversation_column": "messages",
            "conversation_style": "openai",
            "train_on_input": plan.loss_on == "all",
        }
    kept_back = dataset.eval_source or dataset.eval_fraction
    return ({"dataset": config}, "its recipes evaluate nothing") if kept_back else {"dataset": config}


def _targets(plan: TrainingPlan) -> Said:
    targets = set(plan.lora_targets or ())
    if targets in (set(), {"all-linear"}) or (targets <= set(ATTENTION) | MLP and targets & MLP in (set(), MLP)):
        return {}
    return "it adapts named attention modules, and the whole MLP or nothing of it"


def _optimizer(plan: TrainingPlan) -> dict[str, Any]:
    decay = {} if plan.optimizer == "sgd" and not plan.weight_decay else {"weight_decay": plan.weight_decay}
    return {"optimizer": {**OPTIMIZERS[plan.optimizer], "lr": plan.learning_rate, **decay}}


def _scheduler(plan: TrainingPlan) -> Said:
    cosine = {
        "_component_": "torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup",
        "num_warmup_steps": plan.warmup_steps,
    }
    return (
        {"lr_scheduler": cosine}
        if plan.lr_scheduler == "cosine"
        else ({"lr_scheduler": cosine}, "it has cosine only")
    )


def _epochs(plan: TrainingPlan) -> Said:
    whole = {"epochs": max(1, math.ceil(plan.num_epochs))}
    return whole if whole["epochs"] == plan.num_epochs else (whole, "it takes whole epochs only")


def _sharding(plan: TrainingPlan) -> Said:
    if plan.sharding in ("none", "fsdp"):
        return {}
    return "its distributed recipes shard by FSDP2"


def _loss_kernel(plan: TrainingPlan) -> Said:
    loss: dict[str, Any] = {"_component_": "torchtune.modules.loss.CEWithChunkedOutputLoss"}
    if plan.loss_kernel == "full":
        loss["num_output_chunks"] = 1
    if plan.loss_kernel == "liger":
        return {"loss": loss}, "it has no Liger kernel; the loss is computed in pieces"
    return {"loss": loss}


def _elsewhere(_plan: TrainingPlan) -> Said:
    return {}


_said_with_the_model = _said_with_the_dataset = _said_with_the_optimizer = _said_with_the_schedule = _elsewhere

TABLE: Table = {
    "model": _model,
    "dataset": _dataset,
    "output_dir": named("output_dir"),
    "method": lambda plan: {"save_adapter_weights_only": True} if plan.method in LORA_RECIPES else {},
    "quantization": _said_with_the_model,
    "compute_dtype": by_value(
        "compute_dtype",
        {"bf16": {"dtype": "bf16"}, "fp32": {"dtype": "fp32"}, "fp16": ({"dtype": "bf16"}, "it has no fp16")},
    ),
    "weights_dtype": lambda plan: (
        {} if plan.weights_dtype == plan.compute_dtype else "one dtype serves for weights and products"
    ),
    "lora_rank": _said_with_the_model,
    "lora_alpha": _said_with_the_model,
    "lora_dropout": _said_with_the_model,
    "lora_targets": _targets,
    "lora_expert_targets": Unsaid("no LoRA on expert tensors"),
    "lora_expert_rank": Unsaid("no LoRA on expert tensors"),
    "use_rslora": Unsaid("no rank-stabilised LoRA"),
    "use_dora": _said_with_the_model,
    "lora_init": Unsaid("one initialisation of LoRA"),
    "loraplus_lr_ratio": Unsaid("no LoRA+"),
    "modules_to_save": Unsaid("it trains no modules in full beside the adapter"),
    "trainable_token_indices": Unsaid("no trainable tokens"),
    "optimizer": _optimizer,
    "learning_rate": _said_with_the_optimizer,
    "lr_scheduler": _scheduler,
    "min_lr_ratio": Unsaid("no least rate"),
    "warmup_steps": _said_with_the_schedule,
    "weight_decay": _said_with_the_optimizer,
    "max_grad_norm": named("clip_grad_norm", "max_grad_norm"),
    "neftune_noise_alpha": Unsaid("no NEFTune"),
    "micro_batch_size": named("batch_size", "micro_batch_size"),
    "gradient_accumulation_steps": named("gradient_accumulation_steps"),
    "eval_micro_batch_size": Unsaid("its recipes evaluate nothing"),
    "max_seq_len": _said_with_the_model,
    "packing": _said_with_the_dataset,
    "length_grouping": Unsaid("no grouping by length"),
    "loss_on": lambda plan: (
        "every answer of a conversation is learnt, not only the last" if plan.loss_on == "completion" else {}
    ),
    "num_epochs": _epochs,
    "max_steps": named("max_steps_per_epoch", "max_steps"),
    "gradient_checkpointing": named("enable_activation_checkpointing", "gradient_checkpointing"),
    "activation_offload": named("enable_activation_offloading", "activation_offload"),
    "attention": Unsaid("it computes attention by torch's own kernels"),
    "loss_kernel": _loss_kernel,
    "accelerator": lambda plan: {"device": "cpu" if plan.accelerator == "cpu" else "cuda"},
    "sharding": _sharding,
    "cpu_offload": lambda plan: {"fsdp_cpu_offload": True} if plan.cpu_offload else {},
    "save_steps": Unsaid("it saves after each epoch"),
    "save_total_limit": Unsaid("it keeps every checkpoint"),
    "eval_steps": Unsaid("its recipes evaluate nothing"),
    "load_best_model_at_end": Unsaid("it delivers the last step"),
    "early_stopping_patience": Unsaid("its recipes evaluate nothing"),
    "logging_steps": named("log_every_n_steps", "logging_steps"),
    "seed": named("seed"),
    "dataloader_workers": Unsaid("its recipes read in the training process"),
    "report_to": lambda plan: "it logs to disk here; metric_logger names others" if plan.report_to else {},
}  # fmt: skip
"""Every field of a plan in the words of its recipes."""
