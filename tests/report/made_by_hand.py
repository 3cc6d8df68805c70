"""A Recommendation written by hand: every part that a report must show, with round figures."""

from __future__ import annotations

from typing import Any

from advisor.data.profile import DatasetProfile, Lengths
from advisor.decide.recommendation import (
    AnswerView,
    Candidate,
    Caution,
    Change,
    ModelView,
    Recommendation,
    TriedVariant,
)
from advisor.estimate.result import (
    Band,
    Instant,
    MemoryEstimate,
    PhaseMemory,
    StorageEstimate,
    StorageItem,
    TimeEstimate,
)
from advisor.probe.hardware import Disk, Finding, Gpu, GpuProcess, Hardware, Host
from rules.engine import Trace
from trainers.plan import DatasetRef, Delivery, ModelRef, TrainingPlan

GIB = 1 << 30
MIB = 1 << 20


def band(likely: float) -> Band:
    return Band(low=int(0.92 * likely * GIB), likely=int(likely * GIB), high=int(1.08 * likely * GIB))


def instant(label: str, phase: Any, parts: dict[str, int], reserved: dict[str, int]) -> Instant:
    return Instant(label=label, phase=phase, parts=parts, reserved_bytes=sum(reserved.values()))


def memory(weights: float, states: float, activations: float = 1.4) -> MemoryEstimate:
    backward = {
        "weights": int(weights * GIB),
        "adapters": 84 * MIB,
        "gradients": int(states * GIB / 3),
        "optimizer_states": int(states * GIB * 2 / 3),
        "activations": int(activations * GIB),
        "logits": 300 * MIB,
        "buffers": 120 * MIB,
        "runtime": 700 * MIB,
    }
    load = {"weights": int(weights * GIB), "runtime": 500 * MIB}
    total = sum(backward.values()) / GIB
    return MemoryEstimate(
        phases=(PhaseMemory(phase="load", parts=load), PhaseMemory(phase="backward", parts=backward)),
        peak_phase="backward",
        allocated=band(total - 0.9),
        reserved=band(total - 0.6),
        device=band(total),
        host_bytes=4 * GIB,
        stack="transformers 5 + peft + TRL",
        assumptions=("sdpa picks the memory-efficient kernel",),
        not_modelled=("fragmentation beyond 2 %",),
        timeline=(
            instant("step begins", "forward", load, load),
            instant("loss", "forward", backward | {"activations": MIB}, backward),
            instant("backward, block 1 of 1", "backward", backward, backward),
            instant("step ends", "forward", load, backward),
        ),
        known_by=dict.fromkeys(backward, "counted: by hand"),
    )


def trace(rule_id: str, effect: Any, message: str, **more: Any) -> Trace:
    fields = {
        "title": rule_id,
        "group": "quality",
        "strength": "measured",
        "sources": ("hu2021",),
        "outcome": "fires",
    }
    return Trace(rule_id=rule_id, effect=effect, message=message, **fields | more)


def plan(method: str = "lora", **more: Any) -> TrainingPlan:
    lora = {"lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.0, "lora_targets": ("all-linear",)}
    fields: dict[str, Any] = {
        "model": ModelRef(name="Qwen/Qwen3-8B", num_params=8_190_735_360),
        "dataset": DatasetRef(source="chats.jsonl", format="messages", num_examples=5000),
        "method": method,
        "quantization": "nf4" if method == "qlora" else "none",
        "micro_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "num_epochs": 3.0,
        "packing": True,
        "delivery": Delivery(artifact="merged_model", engine="vllm", serve_command="vllm serve runs/merged"),
        "set_by": {"lora_rank": "HYP-01", "learning_rate": "HYP-05", "packing": "HYP-12"},
    }
    return TrainingPlan(**fields | (lora if method in ("lora", "qlora") else {}) | more)


def candidate(method: str, weights: float, states: float, fits: bool = True, **more: Any) -> Candidate:
    estimate = memory(weights, states)
    fields: dict[str, Any] = {
        "method": method,
        "plan": plan(method),
        "memory": estimate,
        "time": TimeEstimate(
            tokens_per_second=1850.0,
            step_seconds=9.96,
            num_steps=939,
            total_seconds=9360.0,
            low_seconds=7800.0,
            high_seconds=11100.0,
            gpu_hours=2.6,
            basis="roofline",
        ),
        "storage": StorageEstimate(
            items=(
                StorageItem(name="adapter", num_bytes=84 * MIB, exact=True),
                StorageItem(name="checkpoints", num_bytes=2 * 252 * MIB, exact=True, kept=False),
            ),
            artifact_bytes=84 * MIB,
            checkpoint_bytes=252 * MIB,
            cache_bytes=16 * GIB,
            peak_output_bytes=840 * MIB,
        ),
        "available_bytes": 23 * GIB,
        "fits": fits,
        "score": 3,
    }
    return Candidate(**fields | more)


def hardware() -> Hardware:
    held = GpuProcess(pid=4242, used_bytes=9 * GIB, name="python train.py")
    card = {"name": "NVIDIA GeForce RTX 4090", "compute_capability": "8.9", "total_bytes": 24 * GIB}
    return Hardware(
        state="ok",
        accelerator="cuda",
        driver_version="580.65.06",
        cuda_version="13.0",
        gpus=(
            Gpu(index=0, uuid="GPU-aa", free_bytes=23 * GIB, used_bytes=0, reserved_bytes=GIB, **card),
            Gpu(index=1, uuid="GPU-bb", free_bytes=14 * GIB, used_bytes=9 * GIB, processes=(held,), **card),
            Gpu(index=2, uuid="GPU-cc", state="lost", name="NVIDIA GeForce RTX 4090"),
        ),
        host=Host(
            ram_total_bytes=128 * GIB,
            ram_available_bytes=100 * GIB,
            cpu_name="AMD EPYC 7543",
            cpu_cores=32,
            output=Disk(path="runs", total_bytes=1000 * GIB, free_bytes=400 * GIB),
        ),
        link="pcie",
        findings=(
            Finding(
                code="gpu-lost",
                severity="error",
                what="GPU 2 fell off the bus",
                why="the driver cannot reach it any more",
                fix="restart the machine; look for Xid 79 in dmesg",
                device=2,
            ),
        ),
    )


def dataset() -> DatasetProfile:
    lengths = Lengths(
        mean=800.0, p50=700, p90=1300, p95=1500, p99=1900, longest=4000, exact_tokens=True, sampled_rows=5000
    )
    return DatasetProfile(
        source="chats.jsonl",
        format="messages",
        columns=("messages",),
        num_examples=5000,
        total_tokens=4_000_000,
        completion_tokens=2_000_000,
        lengths=lengths,
        kind_guess="chat",
        kind_reason="80 % have more than one answer",
    )


def recommendation(**more: Any) -> Recommendation:
    best = candidate(
        "lora",
        15.3,
        0.3,
        reasons=(
            trace("QUA-22", "prefer", "2.0M answer tokens fit in an adapter of rank 16.", weight=2),
            trace("STO-03", "avoid", "A merged model takes 15.3 GiB <each>.", weight=-1, sources=("guide", "vllm-1")),
        ),
    )
    fields: dict[str, Any] = {
        "advisor_version": "0.1.0",
        "verdict": "recommended",
        "headline": "Fine-tune Qwen3-8B with LoRA of rank 16",
        "best": best,
        "alternatives": (candidate("qlora", 5.6, 0.3, why_not=("It is slower, and LoRA fits.",)),),
        "rejected": (
            candidate(
                "full",
                30.6,
                90.0,
                fits=False,
                why_not=("States of 122 GiB exceed one GPU.",),
                tried_variants=(TriedVariant(variant="8-bit optimizer", device_high_bytes=70 * GIB, fits=False),),
            ),
        ),
        "gates": (),
        "warnings": (Caution(message="GPU 1 is in use by another process.", fix="Stop it."),),
        "changes": (
            Change(what="a card of 16 GB", flag='--hardware "16GiB"', method="qlora", verdict="recommended"),
        ),
        "remedies": (),
        "wish_cost": (),
        "unknown_facts": {"task.shift": "--task-shift"},
        "answers": {
            "model": AnswerView(value="Qwen3-8B", origin="flag"),
            "task.count": AnswerView(value=1, origin="default"),
            "storage.budget_bytes": AnswerView(value=50 * GIB, origin="file"),
        },
        "facts": {"data.examples": 5000, "task.count": 1},
        "fact_reasons": {"machine.class": "one card below 48 GB"},
        "model": ModelView(
            name="Qwen3-8B", model_type="qwen3", num_params=8_190_735_360, active_params=8_190_735_360, known=True
        ),
        "data": dataset(),
        "hardware": hardware(),
        "traces": best.reasons,
    }
    return Recommendation(**fields | more)


def nothing_fits() -> Recommendation:
    return recommendation(
        verdict="nothing_fits",
        headline="No method fits Qwen3-8B on this hardware",
        best=None,
        alternatives=(),
        rejected=(candidate("qlora", 25.0, 0.3, fits=False, why_not=("It needs 30 GiB.",)),),
        remedies=("Take a shorter sequence: --wish-max-seq-len 512",),
        changes=(),
    )


def gated() -> Recommendation:
    gate = trace("GATE-03", "gate", "The answers hold facts that change.", fix="Use retrieval.")
    return recommendation(verdict="do_not_fine_tune", headline="Do not fine-tune yet: facts change", gates=(gate,))
