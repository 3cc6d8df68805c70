"""The machine that a plan was made for: kept in the plan, and held against the one that it is launched on."""

from __future__ import annotations

import msgspec

from advisor.base.language import tr
from advisor.decide.facts import Devices, choose_devices
from advisor.decide.fill import Context
from advisor.decide.recommendation import Candidate
from advisor.estimate.host import merge_host_bytes
from advisor.probe.hardware import Hardware
from trainers.amounts import gib
from trainers.plan import MadeFor, TrainingPlan

BF16_CAPABILITY = 80
"""Compute capability from which NVIDIA cards multiply bf16 in hardware."""


class MachineVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine is to a plan that was made for another."""

    blocking: tuple[str, ...] = ()
    """Why the run cannot be what was planned, each as a sentence."""
    remarks: tuple[str, ...] = ()
    """What differs and does not stop it."""


def made_for(candidate: Candidate, context: Context) -> MadeFor:
    """The machine of the advice, and what was predicted for it."""
    gpus = context.devices.gpus
    smallest = min(gpus, key=lambda gpu: gpu.total_bytes or 0) if gpus else None
    time = candidate.time
    return MadeFor(
        gpu=smallest.name if smallest else None,
        gpus_per_node=len(gpus),
        gpu_bytes=smallest.total_bytes if smallest else None,
        ram_bytes=context.facts.get("host.ram_bytes"),
        host_bytes=max(candidate.memory.host_bytes, _merge_bytes(candidate, context)),
        low_hours=_hours(time.low_seconds) if time else None,
        high_hours=_hours(time.high_seconds) if time else None,
    )


def _merge_bytes(candidate: Candidate, context: Context) -> int:
    """What the merge asks of the same job, where the run delivers a merged model."""
    merged = candidate.plan.delivery.artifact == "merged_model"
    return merge_host_bytes(context.model) if merged else 0


def judge_machine(plan: TrainingPlan, hardware: Hardware) -> MachineVerdict:
    """Whether `hardware` can be what `plan` was made for. A plan that does not say what that was is not judged."""
    planned = plan.made_for
    if planned is None:
        return MachineVerdict()
    if planned.gpu is None:
        return _judge_cpu(plan, planned, hardware)
    devices = choose_devices(hardware)
    if not devices.gpus:
        return MachineVerdict(
            blocking=(tr("it was made for {in_words}; this machine has no usable GPU", in_words=in_words(planned)),)
        )
    return _judge_gpus(plan, planned, hardware)


def in_words(planned: MadeFor) -> str:
    """ "2x NVIDIA L4 (22.5 GiB)", or "a CPU"."""
    if planned.gpu is None:
        return tr("a CPU")
    size = f" ({gib(planned.gpu_bytes)})" if planned.gpu_bytes else ""
    return f"{planned.gpus_per_node}x {planned.gpu}{size}"


def _judge_gpus(plan: TrainingPlan, planned: MadeFor, hardware: Hardware) -> MachineVerdict:
    devices = choose_devices(hardware)
    here = f"{len(devices.gpus)}x {devices.gpus[0].name}"
    blocking: list[str] = []
    remarks: list[str] = []
    if devices.accelerator != plan.accelerator:
        blocking.append(
            tr(
                "it was made for {in_words} by {accelerator}; here is {here}",
                in_words=in_words(planned),
                accelerator=plan.accelerator,
                here=here,
            )
        )
    if len(devices.gpus) < planned.gpus_per_node:
        blocking.append(
            tr("it was made for {in_words}; this machine has {here}", in_words=in_words(planned), here=here)
        )
    if tight := _too_small(plan, devices):
        same = devices.gpus[0].name == planned.gpu  # what others hold of it may go; the preflight measures
        (remarks if same else blocking).append(tight)
    capabilities = [gpu.sm for gpu in devices.gpus if gpu.sm is not None]
    if (
        plan.compute_dtype == "bf16"
        and plan.accelerator == "cuda"
        and min(capabilities, default=999) < BF16_CAPABILITY
    ):
        blocking.append(
            tr("it computes in bf16 as {gpu} does; {name} has no bf16", gpu=planned.gpu, name=devices.gpus[0].name)
        )
    if not blocking and devices.gpus[0].name != planned.gpu:
        remarks.append(
            tr(
                "the plan was made for {in_words}; here is {here}: the hours predicted are another's",
                in_words=in_words(planned),
                here=here,
            )
        )
    return MachineVerdict(blocking=tuple(blocking), remarks=tuple(remarks))


def _too_small(plan: TrainingPlan, devices: Devices) -> str:
    free_bytes, need_bytes = devices.available_bytes, plan.predicted_peak_bytes
    if free_bytes is None or need_bytes is None or need_bytes <= free_bytes:
        return ""
    return tr(
        "it takes up to {gib} of each GPU; {name} has {gib_2} free",
        gib=gib(need_bytes),
        name=devices.gpus[0].name,
        gib_2=gib(free_bytes),
    )


def _judge_cpu(plan: TrainingPlan, planned: MadeFor, hardware: Hardware) -> MachineVerdict:
    total, need = hardware.host.ram_total_bytes, plan.predicted_peak_bytes
    blocking = []
    if total is not None and need is not None and need > total:
        made_with = (
            tr("; the machine it was made for had {gib}", gib=gib(planned.ram_bytes)) if planned.ram_bytes else ""
        )
        blocking.append(
            tr(
                "it takes up to {gib} of memory; this machine has {gib_2}{said}",
                gib=gib(need),
                gib_2=gib(total),
                said=made_with,
            )
        )
    unused = hardware.usable_gpus
    remarks = [tr("the plan was made for a CPU; {name} here stays unused", name=unused[0].name)] if unused else []
    return MachineVerdict(blocking=tuple(blocking), remarks=tuple(remarks))


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds / 3600:.3g}")
