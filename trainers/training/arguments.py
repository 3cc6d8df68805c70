"""The plan as TRL's SFTConfig, built by signature.

Every plan field is either translated in `sft_config` or named in HANDLED_ELSEWHERE with the place that carries it
out; a test holds the two together, so that no setting of a plan is dropped silently.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.accelerators import ACCELERATORS
from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.language import tr
from trainers.method import METHODS
from trainers.network import trackers_of
from trainers.plan import TrainingPlan
from trainers.run_folder import layout
from trainers.run_folder.best_step import evaluates
from trainers.versions import window

if TYPE_CHECKING:
    from trl import SFTConfig

HANDLED_ELSEWHERE: dict[str, str] = {
    "schema": "plan.py",
    "model": "models.py",
    "dataset": "dataset.py",
    "output_dir": "the launcher, as --run-dir",
    "method": "the backend",
    "quantization": "qlora.py",
    "weights_dtype": "models.py",
    "lora_rank": "lora.py",
    "lora_alpha": "lora.py",
    "lora_dropout": "lora.py",
    "lora_targets": "lora.py",
    "lora_expert_targets": "lora.py",
    "lora_expert_rank": "lora.py",
    "use_rslora": "lora.py",
    "use_dora": "lora.py",
    "lora_init": "lora.py",
    "loraplus_lr_ratio": "optimizers.py",
    "modules_to_save": "lora.py",
    "trainable_token_indices": "lora.py",
    "start_adapter": "lora.py",
    "num_virtual_tokens": "prefix.py",
    "adapter_bottleneck": "adapter.py",
    "optimizer_in_backward": "optimizers.py",
    "loss_on": "rendering.py",
    "leave_out": "rendering.py",
    "reads_images": "sight.py",
    "max_pixels": "processor.py",
    "max_seq_len": "dataset.py",
    "attention": "models.py",
    "load_best_model_at_end": "best_step.py",
    "early_stopping_patience": "best_step.py",
    "num_nodes": "the launcher",
    "device_uuids": "the launcher, as CUDA_VISIBLE_DEVICES",
    "delivery": "deliver.py",
    "predicted_peak_bytes": "record.py",
    "made_for": "the launch",
    "set_by": "the report",
}
"""Plan fields that are not SFTConfig options -> who carries them out."""


def by_signature(options_class: type, options: dict[str, Any]) -> Any:
    """`options_class(**options)`, after checking that each name is one of its fields.

    Raises EnvironmentLacking naming the options that this version of the library does not have.
    """
    known = {field.name for field in dataclasses.fields(options_class)}
    unknown = sorted(set(options) - known)
    if unknown:
        library = options_class.__module__.partition(".")[0]
        raise EnvironmentLacking(
            tr(
                "{name} of {library} {version} has no option {unknown}",
                name=options_class.__name__,
                library=library,
                version=metadata.version(library),
                unknown=", ".join(unknown),
            ),
            why=tr("it was renamed or removed there; tested with {window}", window=window(library)),
            fix=f"pip install '{window(library)}'",
        )
    return options_class(**options)


def sft_config(plan: TrainingPlan, run_dir: Path, *, has_eval: bool, extra: dict[str, Any]) -> SFTConfig:
    """The SFTConfig of this plan; `extra` is what the backend adds. Raises EnvironmentLacking or PlanRefused."""
    from trl import SFTConfig

    options = {
        **_paths_and_cadence(plan, run_dir, has_eval),
        **_optimisation(plan),
        **_batches(plan),
        **_memory(plan),
        **_devices(plan),
        **extra,
    }
    try:
        return by_signature(SFTConfig, options)
    except (ValueError, ImportError) as error:
        raise EnvironmentLacking(
            tr("the training library refuses this plan on this machine"), why=str(error).splitlines()[0]
        ) from error


def _paths_and_cadence(plan: TrainingPlan, run_dir: Path, has_eval: bool) -> dict[str, Any]:
    for name in trackers_of(plan, os.environ):
        _require_module(name, f"report_to = {name!r}", "report_to = []")
    return {
        "output_dir": str(run_dir / layout.CHECKPOINTS),
        "save_strategy": "steps",
        "save_steps": plan.save_steps,
        "save_total_limit": plan.save_total_limit,
        "eval_strategy": "steps" if has_eval and evaluates(plan) else "no",
        "eval_steps": plan.eval_steps,
        "logging_steps": plan.logging_steps,
        "logging_first_step": True,
        # The filter would show a loss of 0 where it is NaN.
        "logging_nan_inf_filter": False,
        "report_to": trackers_of(plan, os.environ) or "none",
        "run_name": run_dir.name,
        "disable_tqdm": True,
        "seed": plan.seed,
        "data_seed": plan.seed,
    }


def _optimisation(plan: TrainingPlan) -> dict[str, Any]:
    with_minimum = plan.lr_scheduler == "cosine_with_min_lr"
    return {
        "optim": plan.optimizer,
        "learning_rate": plan.learning_rate,
        "lr_scheduler_type": plan.lr_scheduler,
        "lr_scheduler_kwargs": {"min_lr_rate": plan.min_lr_ratio} if with_minimum else {},
        "warmup_steps": plan.warmup_steps,
        "weight_decay": plan.weight_decay,
        "max_grad_norm": plan.max_grad_norm,
        "neftune_noise_alpha": plan.neftune_noise_alpha,
        "num_train_epochs": plan.num_epochs,
        "max_steps": plan.max_steps or -1,
        # TRL's own default is the loss in tiles under the name that its version has for it; in 1.14 "nll" is the
        # one that holds all logits, from 1.15 on it is the tiled one.
        **({"loss_type": "nll"} if plan.loss_kernel == "full" else {}),
    }


def _batches(plan: TrainingPlan) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": plan.micro_batch_size,
        "per_device_eval_batch_size": plan.eval_micro_batch_size,
        "gradient_accumulation_steps": plan.gradient_accumulation_steps,
        # The rows come tokenised, masked and cut; only packing is left to TRL.
        "max_length": plan.max_seq_len if plan.packing else None,
        "padding_free": plan.packing or _without_padding(plan),
        "dataset_kwargs": {"skip_prepare_dataset": not plan.packing},
        "packing": plan.packing,
        # Evaluation rows stay apart, so that the loss compares between plans.
        "eval_packing": False,
        "train_sampling_strategy": "group_by_length" if plan.length_grouping and not plan.packing else "random",
        "dataloader_num_workers": plan.dataloader_workers,
        "dataloader_pin_memory": ACCELERATORS[plan.accelerator].pins_memory,
    }


def _without_padding(plan: TrainingPlan) -> bool:
    """Whether a batch can be one row without padding: FlashAttention keeps its examples apart at no cost."""
    return plan.attention == "flash2" and METHODS[plan.method].recomputes and plan.micro_batch_size > 1


def _memory(plan: TrainingPlan) -> dict[str, Any]:
    if plan.activation_offload and plan.accelerator == "cpu":
        raise PlanRefused(
            tr("activation_offload needs a GPU to take activations off"), fix=tr("set activation_offload = false")
        )
    if plan.loss_kernel == "liger":
        _require_module("liger_kernel", "loss_kernel = 'liger'", "loss_kernel = 'chunked'")
    if plan.attention == "flash2":
        _require_module("flash_attn", "attention = 'flash2'", "attention = 'sdpa'")
    return {
        "activation_checkpointing": plan.gradient_checkpointing and plan.sharding != "fsdp",
        "gradient_checkpointing": plan.gradient_checkpointing and plan.sharding != "fsdp",
        "activation_offloading": plan.activation_offload,
        # TRL always computes the loss in tiles; Liger adds fused kernels of the layers.
        "use_liger_kernel": plan.loss_kernel == "liger",
        **_precision(plan),
    }


def _precision(plan: TrainingPlan) -> dict[str, bool]:
    """Autocast only where something is held in another dtype than products are computed in.

    Pure bf16 needs none. An adapter in fp32 beside a bf16 base does: without it each input would be copied to fp32.
    """
    pure = plan.method == "full" and plan.weights_dtype == plan.compute_dtype
    return {
        "bf16": plan.compute_dtype == "bf16" and not pure,
        "fp16": plan.compute_dtype == "fp16",
    }


def _devices(plan: TrainingPlan) -> dict[str, Any]:
    options: dict[str, Any] = {
        "use_cpu": plan.accelerator == "cpu",
        "ddp_find_unused_parameters": False,
        "ddp_timeout": 7200,
    }
    if plan.sharding == "fsdp":
        options |= {"fsdp": True, "fsdp_config": fsdp_config(plan)}
    if plan.sharding in ("zero2", "zero3"):
        _require_module("deepspeed", f"sharding = '{plan.sharding}'", "sharding = 'fsdp'")
        options["deepspeed"] = deepspeed_config(plan)
    return options


def fsdp_config(plan: TrainingPlan) -> dict[str, Any]:
    """FSDP2 as TrainingArguments takes it. A save gathers the whole state, so that a checkpoint loads anywhere."""
    return {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "reshard_after_forward": True,
        "cpu_offload": plan.cpu_offload,
        # Checkpointing by FSDP itself: the Trainer's would gather every layer once more in the backward pass.
        "activation_checkpointing": plan.gradient_checkpointing,
        "cpu_ram_efficient_loading": plan.quantization == "none",
        "state_dict_type": "FULL_STATE_DICT",
    }


def deepspeed_config(plan: TrainingPlan) -> dict[str, Any]:
    """ZeRO-2 or ZeRO-3; what the Trainer knows better stays `auto`."""
    stage = 2 if plan.sharding == "zero2" else 3
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}
    if plan.cpu_offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
        if stage == 3:
            zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "gradient_accumulation_steps": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "train_batch_size": "auto",
    }


def _require_module(module: str, wish: str, instead: str) -> None:
    if importlib.util.find_spec(module) is None:
        package = module.replace("_", "-")
        raise EnvironmentLacking(
            tr("{wish} needs the package {package}, which is not installed", wish=wish, package=package),
            fix=tr("pip install {package}, or set {instead}", package=package, instead=instead),
        )
