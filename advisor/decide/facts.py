"""build_facts: answers, hardware, model and data become the flat facts that rules read.

A fact that is not known is absent, never zero. A derived fact carries the sentence that says how it was derived.
Facts about one plan (`plan.*`) are added per candidate by candidates.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from advisor.base.language import current, tr
from advisor.data.eyes import eyes_of
from advisor.data.profile import DatasetProfile
from advisor.estimate.storage import merged_model_bytes
from advisor.model.params import default_lora_targets, expert_names, lora_params
from advisor.model.spec import ModelSpec, TrainedAdapter
from advisor.probe.hardware import GIB, Gpu, Hardware, Rates, Software
from rules.facts import BY_PATH
from trainers.accelerators import ACCELERATORS, Accelerator
from trainers.packs_apart import SEEN_APART

DISPLAY_RESERVE_BYTES = GIB
"""Kept free for a desktop on the same card: it grows by 0.3 to 1.5 GiB with a browser (advisor/probe)."""
AMPLE_TOTAL_BYTES = 8 * 70 * GIB
"""The guide's "large cluster" begins at one node of eight 80 GB cards."""
LIMITED_CARD_BYTES = 47 * GIB
"""Below a 48 GB card, a single GPU is the guide's "very limited" class."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Known facts by path, and for derived ones the reason."""

    values: dict[str, Any]
    reasons: dict[str, str]

    def get(self, path: str) -> Any:
        """The value, or None when it is not known."""
        return self.values.get(path)


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """The GPUs that a plan uses together, over all nodes, and the memory each may take."""

    gpus: tuple[Gpu, ...]
    num_nodes: int
    accelerator: Accelerator
    available_bytes: int | None
    """Free memory of the tightest device used, display reserve taken off; RAM on a CPU."""
    notes: tuple[str, ...] = ()
    cpu: Rates | None = None
    """Measured rates of the processor."""

    @property
    def count(self) -> int:
        """Processes over all nodes; 1 on a CPU."""
        return max(1, len(self.gpus) * self.num_nodes)


def device_choices(hardware: Hardware) -> tuple[Devices, ...]:
    """What may work together: the choice by memory first, then each kind of several that is neither it nor all."""
    first = choose_devices(hardware)
    groups = _alike(hardware.usable_gpus)
    others = [tuple(group) for group in groups if len(groups) > 1 and tuple(group) != first.gpus]
    return (first, *(_alone(group, hardware) for group in others))


def _alone(gpus: tuple[Gpu, ...], hardware: Hardware) -> Devices:
    left = ", ".join(sorted({gpu.name for gpu in hardware.usable_gpus if gpu not in gpus}))
    note = tr(
        "uses {count}x {name} and leaves out {left}, which would set the memory and the pace of all",
        count=len(gpus),
        name=gpus[0].name,
        left=left,
    )
    return Devices(
        gpus=gpus,
        num_nodes=hardware.num_nodes,
        accelerator=hardware.accelerator,
        available_bytes=_free(list(gpus)),
        notes=(note,),
    )


def _alike(gpus: tuple[Gpu, ...]) -> list[list[Gpu]]:
    groups: dict[tuple[str, int | None], list[Gpu]] = {}
    for gpu in gpus:
        groups.setdefault((gpu.name, gpu.total_bytes), []).append(gpu)
    return list(groups.values())


def choose_devices(hardware: Hardware) -> Devices:
    """Which usable GPUs work together by memory: all of them, or the uniform group that holds more in all.

    Every sharded or data-parallel run has the memory and the pace of its smallest member.
    """
    gpus = hardware.usable_gpus
    if not gpus:
        return Devices(
            gpus=(),
            num_nodes=1,
            accelerator="cpu",
            available_bytes=hardware.host.ram_available_bytes,
            notes=(),
            cpu=hardware.host.measured,
        )
    groups = _alike(gpus)
    chosen, notes = list(gpus), []
    if len(groups) > 1:
        best = max(groups, key=lambda group: len(group) * _free(group))
        if len(best) * _free(best) >= len(gpus) * _free(list(gpus)):
            chosen = best
            left = ", ".join(sorted({gpu.name for gpu in gpus if gpu not in best}))
            notes.append(
                tr(
                    "uses {num_best}x {name} and leaves out {left}: with all cards in use each would "
                    "count as the smallest one does, which is less memory in all",
                    num_best=len(best),
                    name=best[0].name,
                    left=left,
                )
            )
        else:
            notes.append(tr("cards of different kinds: planned on the smallest, and at its pace"))
    available = min(_available(gpu) for gpu in chosen)
    return Devices(
        gpus=tuple(chosen),
        num_nodes=hardware.num_nodes,
        accelerator=hardware.accelerator,
        available_bytes=available,
        notes=tuple(notes),
    )


def _free(gpus: list[Gpu]) -> int:
    return min(_available(gpu) for gpu in gpus)


def _available(gpu: Gpu) -> int:
    free = gpu.free_bytes if gpu.free_bytes is not None else (gpu.usable_bytes or 0)
    return max(0, free - (DISPLAY_RESERVE_BYTES if gpu.display_active else 0))


def build_facts(
    answers: Mapping[str, Any],
    hardware: Hardware,
    devices: Devices,
    model: ModelSpec,
    data: DatasetProfile | None,
    software: Software | None,
) -> Facts:
    """Every fact that is known before a plan exists. An answer given outweighs what was measured in the data."""
    values: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    values |= _machine_facts(hardware, devices, reasons)
    values |= _software_facts(devices, software, reasons)
    values |= _model_facts(model)
    values |= _trust_facts(model)
    if data is not None:
        values |= _data_facts(data)
    values |= {path: value for path, value in answers.items() if path in BY_PATH and value is not None}
    values["model.merged_bytes"] = merged_model_bytes(model, values.get("deploy.weights") or "16bit")
    if "storage.variants" not in values and "task.count" in values:
        values["storage.variants"] = values["task.count"]
        reasons["storage.variants"] = tr("one variant is kept for each task")
    if "data.len_mean" not in values and values.get("data.examples") and "data.total_tokens" in values:
        values["data.len_mean"] = values["data.total_tokens"] / values["data.examples"]
        reasons["data.len_mean"] = tr("total tokens / examples")
    if "data.completion_ratio" not in values and values.get("data.total_tokens"):
        completion_tokens = values.get("data.completion_tokens")
        if completion_tokens is not None:
            values["data.completion_ratio"] = completion_tokens / values["data.total_tokens"]
            reasons["data.completion_ratio"] = tr("completion tokens / total tokens")
    return Facts(values={path: value for path, value in values.items() if value is not None}, reasons=reasons)


def _trust_facts(model: ModelSpec) -> dict[str, Any]:
    """What should be known of a model folder; of a name, what the card says that was downloaded before."""
    if model.source != "folder" or model.path is None:
        from advisor.model.licence import limited_licence_of

        return {"trust.licence_limits": limited_licence_of(model.path) if model.path else None}
    folder = Path(model.path)
    files = sorted((file.name, file.lstat().st_mtime_ns) for file in folder.iterdir())
    return dict(_folder_facts(folder, tuple(files), current()))


@lru_cache(maxsize=8)
def _folder_facts(folder: Path, _files: tuple[tuple[str, int], ...], _language: str) -> dict[str, str | None]:
    """Those of a folder with these files, looked at once: every change that is tried asks for the facts again."""
    from advisor.trust.model import model_facts

    return model_facts(folder, with_weights=False)


def _machine_facts(hardware: Hardware, devices: Devices, reasons: dict[str, str]) -> dict[str, Any]:
    host = hardware.host
    facts: dict[str, Any] = {
        "machine.accelerator": devices.accelerator,
        "machine.nodes": devices.num_nodes,
        "gpu.count": len(devices.gpus) * devices.num_nodes,
        "host.ram_bytes": host.ram_available_bytes,
        "host.disk_free_bytes": host.output.free_bytes if host.output else None,
        "host.cpu_cores": host.cpu_cores,
        "host.cpu_bf16": host.cpu_bf16,
    }
    if devices.gpus:
        smallest = min(devices.gpus, key=_available)
        capabilities = [gpu.sm for gpu in devices.gpus if gpu.sm is not None]
        facts |= {
            "gpu.name": smallest.name,
            "gpu.memory_bytes": smallest.usable_bytes,
            "gpu.free_bytes": devices.available_bytes,
            "gpu.sm": min(capabilities) if len(capabilities) == len(devices.gpus) else None,
            "gpu.link": hardware.link,
            "gpu.unified": any(gpu.kind == "unified" for gpu in devices.gpus),
            "gpu.vgpu": any(gpu.kind == "vgpu" for gpu in devices.gpus),
            "gpu.display": any(gpu.display_active for gpu in devices.gpus),
        }
    facts["machine.class"] = _machine_class(devices)
    reasons["machine.class"] = tr(
        "{count} usable GPU(s): limited is one card below 48 GB, ample is eight 80 GB cards or more",
        count=facts["gpu.count"],
    )
    return facts


def _machine_class(devices: Devices) -> str:
    sizes = [gpu.usable_bytes or 0 for gpu in devices.gpus]
    if not sizes or (devices.count == 1 and sizes[0] < LIMITED_CARD_BYTES):
        return "limited"
    return "ample" if sum(sizes) * devices.num_nodes >= AMPLE_TOTAL_BYTES else "medium"


def _software_facts(devices: Devices, software: Software | None, reasons: dict[str, str]) -> dict[str, Any]:
    four_bit = ACCELERATORS[devices.accelerator].four_bit
    facts: dict[str, Any] = {"env.bitsandbytes": four_bit}
    has = (
        tr("bitsandbytes 0.50 has 4-bit kernels for {accelerator}")
        if four_bit
        else tr("bitsandbytes 0.50 has no 4-bit kernels for {accelerator}")
    )
    reasons["env.bitsandbytes"] = has.format(accelerator=devices.accelerator)
    if software is not None:
        capabilities = [gpu.sm or 0 for gpu in devices.gpus]
        modern = devices.accelerator == "cuda" and bool(capabilities) and min(capabilities) >= 80
        facts["env.flash_attention"] = modern and software.flash_attn is not None
        facts["env.liger"] = devices.accelerator != "cpu" and software.liger is not None
    return facts


def _model_facts(model: ModelSpec) -> dict[str, Any]:
    experts = [group.experts_per_token for group in model.layers if group.num_experts]
    without_experts = lora_params(model, 1, expert_targets=())
    of_experts = lora_params(model, 1, expert_targets=expert_names(model)) - without_experts
    name = model.name.lower()
    return {
        "model.name": model.path or model.name,
        "model.family": model.model_type,
        "model.params": model.num_params,
        "model.active_params": model.active_params,
        "model.hidden_size": model.hidden_size,
        "model.vocab_size": model.vocab_size,
        "model.max_position_embeddings": model.max_position_embeddings,
        "model.is_moe": model.is_moe,
        "model.experts_fused": model.experts_fused,
        "model.active_experts": max(experts) if experts else None,
        "model.sdpa": not model.traits.no_sdpa,
        "model.flash2": not model.traits.no_flash2,
        "model.packs_apart": model.model_type in SEEN_APART,
        "model.reads_images": eyes_of(model) is not None,
        "model.native_quant": model.native_quant,
        "model.adapter_params_per_rank": without_experts + of_experts,
        "model.expert_params_per_rank": of_experts,
        # experts get the part of the rank that a token meets of them (HYP-95), in 4 bits none
        "model.held_params_per_rank": without_experts + of_experts // max(experts, default=1),
        "model.held_params_per_rank_in_4_bits": without_experts,
        "model.lora_targets": list(default_lora_targets(model)),
        **_adapter_facts(model.adapter),
        "model.stage": _stage(name, model.has_chat_template),
        "model.known": model.known,
        "model.encoder_decoder": model.encoder_decoder,
    }


def _adapter_facts(adapter: TrainedAdapter | None) -> dict[str, Any]:
    if adapter is None:
        return {}
    return {
        "model.adapter": adapter.path,
        "model.adapter_rank": adapter.rank,
        "model.adapter_alpha": adapter.alpha,
        "model.adapter_targets": list(adapter.targets),
    }


def _stage(name: str, has_chat_template: bool | None) -> str | None:
    if any(mark in name for mark in ("instruct", "chat", "-it", "assistant")):
        return "instruct"
    if has_chat_template is None:
        return None
    return "instruct" if has_chat_template else "base"


def _data_facts(data: DatasetProfile) -> dict[str, Any]:
    lengths = data.lengths
    return {
        "data.examples": data.num_examples,
        "data.total_tokens": data.total_tokens,
        "data.completion_tokens": data.completion_tokens,
        "data.completion_ratio": data.completion_ratio,
        "data.len_mean": lengths.mean,
        "data.len_p95": lengths.p95,
        "data.len_p99": lengths.p99,
        "data.len_max": lengths.longest,
        "data.multi_turn_share": data.multi_turn_share,
        "data.picture_rows": data.picture_rows,
        "data.has_eval": True if data.has_eval else None,
    }
