"""Outcomes as rows of the table of measured memory, ready to stand beside published runs.

The columns are those of tests/benchmarks/measured/memory_measurements.csv, which the accuracy benchmark reads.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from trainers.acceptance.outcomes import Outcome
from trainers.amounts import GIB
from trainers.plan import TrainingPlan

COLUMNS = (
    "id", "source", "framework", "model", "params_b", "method", "base_dtype", "training_precision", "optimizer",
    "micro_batch", "seq_len", "seq_is_padded_max", "grad_ckpt", "lora_r", "lora_targets", "train_embeddings",
    "attention", "fused_ce", "n_gpus", "sharding", "gpu", "reported_value", "reported_unit", "what_is_reported",
    "oom", "note",
)  # fmt: skip
FRAMEWORK = "sft-advisor"


def as_csv(
    runs: Iterable[tuple[TrainingPlan, Outcome]], *, model: str, device: str, longest_tokens: int, note: str
) -> str:
    """A table with a head and a row for each outcome whose peak was measured.

    `longest_tokens` is the longest row that was trained on; `note` says versions and day.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    measured = [(plan, outcome) for plan, outcome in runs if outcome.peak_bytes]
    for number, (plan, outcome) in enumerate(measured, start=1):
        row = _row(plan, outcome, longest_tokens, note)
        writer.writerow(row | {"id": f"verify-{number:03}", "model": model, "gpu": device})
    return table.getvalue()


def _row(plan: TrainingPlan, outcome: Outcome, longest_tokens: int, note: str) -> dict[str, object]:
    value = outcome.allocated_bytes or outcome.peak_bytes or 0
    shown = f"; nvidia-smi peak averaged over GPUs={(outcome.peak_bytes or 0) >> 20} MiB"
    return {
        "source": f"sft-advisor doctor verify ({outcome.name})",
        "framework": FRAMEWORK,
        "params_b": round(plan.model.num_params / 1e9, 4) if plan.model.num_params else "unknown",
        "method": "dora" if plan.use_dora else plan.method,
        "base_dtype": "nf4" if plan.quantization == "nf4" else plan.weights_dtype,
        "training_precision": _precision(plan),
        "optimizer": plan.optimizer,
        "micro_batch": plan.micro_batch_size,
        "seq_len": plan.max_seq_len if plan.packing else longest_tokens,
        "seq_is_padded_max": "yes" if plan.packing else "no",
        "grad_ckpt": "yes" if plan.gradient_checkpointing else "no",
        "lora_r": plan.lora_rank or "na",
        "lora_targets": "+".join(plan.lora_targets or ()).replace("all-linear", "all linear") or "na",
        "train_embeddings": "yes" if plan.modules_to_save else "no",
        "attention": plan.attention,
        "fused_ce": "yes" if plan.loss_kernel == "liger" else "no",
        "n_gpus": plan.num_gpus,
        "sharding": plan.sharding,
        "reported_value": round(value / GIB, 4),
        "reported_unit": "GiB",
        "what_is_reported": "max_allocated" if outcome.allocated_bytes else "resident",
        "oom": "no",
        "note": f"bytes={value}{shown if outcome.allocated_bytes else ''}{_switches(plan)}; {note}",
    }


def _precision(plan: TrainingPlan) -> str:
    if plan.compute_dtype == "fp32":
        return "fp32"
    return f"{'pure' if plan.weights_dtype == plan.compute_dtype else 'mixed'}_{plan.compute_dtype}"


def _switches(plan: TrainingPlan) -> str:
    """What no column says, in the words that the benchmark reads."""
    said = {
        "optimizer step in backward": plan.optimizer_in_backward,
        "activation offloading": plan.activation_offload,
        f"gradient accumulation {plan.gradient_accumulation_steps}": plan.gradient_accumulation_steps > 1,
        "chunked cross entropy": plan.loss_kernel == "chunked",
    }
    return "".join(f"; {words}" for words, is_so in said.items() if is_so)
