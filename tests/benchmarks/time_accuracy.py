"""How well the time model predicts published training speeds.

    python tests/benchmarks/time_accuracy.py FILE.csv [--json] [--output FILE.json] [--rows]

FILE has the form of throughput.csv. Each row is expressed as a model, a plan and a card; tokens a second for each GPU
are predicted and compared. Rows that cannot be expressed (no token rate, fp8, no card figures) are counted and named.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from advisor.estimate import estimate_memory, estimate_time
from advisor.estimate.rates import TIME_SPREAD
from advisor.estimate.stacks import DEEPSPEED, FMS_FUSED, HF_TRAINER, TORCHTITAN, TORCHTUNE, Split, Stack
from advisor.model.catalog import from_catalog
from advisor.model.spec import ModelSpec
from advisor.probe import Card, lookup
from tests.benchmarks.published import NotExpressed, read_rows
from trainers.plan import ModelRef, TrainingPlan

CARDS = {
    "A100-SXM4-80GB": "NVIDIA A100-SXM4-80GB",
    "A100-80GB": "NVIDIA A100-SXM4-80GB",
    "A100-40GB": "NVIDIA A100-SXM4-40GB",
    "A800-80GB": "NVIDIA A100-SXM4-80GB",
    "H100-SXM": "NVIDIA H100 80GB HBM3",
    "H100-96GB-HBM2e-500W": "NVIDIA H100 80GB HBM3",
    "H200": "NVIDIA H200",
    "L40S": "NVIDIA L40S",
    "L4": "NVIDIA L4",
    "T4": "Tesla T4",
    "A10G": "NVIDIA A10G",
    "H20": "NVIDIA H20",
    "B200": "NVIDIA B200",
    "RTX 3090": "NVIDIA GeForce RTX 3090",
    "RTX 4090": "NVIDIA GeForce RTX 4090",
    "RTX 4060 8GB": "NVIDIA GeForce RTX 4060",
    "RTX A6000": "NVIDIA RTX A6000",
    "RTX 6000 Ada": "NVIDIA RTX 6000 Ada Generation",
    "RTX PRO 6000 Server": "NVIDIA RTX PRO 6000 Blackwell Server Edition",
    "MI300X": "AMD Instinct MI300X",
    "GB10": "NVIDIA GB10",
}
MODELS = {
    "Qwen-1.8B": "Qwen/Qwen-1_8B",
    "Qwen-7B": "Qwen/Qwen-7B",
    "Qwen-7B-Chat": "Qwen/Qwen-7B-Chat",
    "Qwen-14B": "Qwen/Qwen-14B",
    "Qwen-72B": "Qwen/Qwen-72B",
    "Mistral-7B-v0.1": "mistralai/Mistral-7B-v0.1",
    "PowerLM-3B": "ibm/PowerLM-3b",
    "Llama-3-8B": "meta-llama/Meta-Llama-3-8B",
    "Llama-3.1-8B": "meta-llama/Llama-3.1-8B",
    "Llama-3.2-3B": "meta-llama/Llama-3.2-3B",
    "Llama-3.2-1B": "meta-llama/Llama-3.2-1B",
    "Llama-3-70B": "meta-llama/Llama-3.1-70B",
    "Llama-3.1-70B": "meta-llama/Llama-3.1-70B",
    "Llama-3.1-405B": "meta-llama/Llama-3.1-405B",
    "Llama-2-7B": "meta-llama/Llama-2-7b-hf",
    "Llama-2-13B": "meta-llama/Llama-2-13b-hf",
    "Llama-2-70B": "meta-llama/Llama-2-70b-hf",
    "Llama-7B": "meta-llama/Llama-2-7b-hf",
    "Mistral-7B": "mistralai/Mistral-7B-v0.1",
    "Mixtral-8x7B": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "Mixtral-8x7B-Instruct": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "SantaCoder-1.1B": "bigcode/gpt_bigcode-santacoder",
    "Falcon-7B": "tiiuae/falcon-7b",
    "Yi-34B-200K": "01-ai/Yi-34B",
    "Qwen2.5-1.5B": "Qwen/Qwen2.5-1.5B",
    "Qwen2.5-7B": "Qwen/Qwen2.5-7B",
    "Qwen2.5-14B": "Qwen/Qwen2.5-14B",
    "Qwen2.5-32B": "Qwen/Qwen2.5-32B",
    "Qwen2.5-72B": "Qwen/Qwen2.5-72B",
    "Qwen3-14B": "Qwen/Qwen3-14B",
    "Qwen3-8B": "Qwen/Qwen3-8B",
    "Qwen3-30B-A3B": "Qwen/Qwen3-30B-A3B",
    "GPT-OSS-20B": "openai/gpt-oss-20b",
}


UNSTATED_MICRO_BATCH = 4


class Timed(NamedTuple):
    """One row with its prediction, tokens a second and GPU."""

    row: dict[str, str]
    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted / self.measured


HBM2E_GBS = 2400.0
"""Six stacks: the memory of the H100 variant with 96 GB and 500 W."""


def _card(row: dict[str, str]) -> Card:
    name = row["gpu"]
    found = lookup(CARDS.get(name, name))
    if found is None or (found.bf16_dense_tflops is None and found.fp16_dense_tflops is None):
        raise NotExpressed(f"no figures for the card {name}")
    stated = re.search(r"peak taken as about (\d+) TFLOPS", row["note"])
    if stated is None:
        return found
    bandwidth = HBM2E_GBS if "HBM2e" in name else found.memory_bandwidth_gbs
    return msgspec.structs.replace(found, bf16_dense_tflops=float(stated[1]), memory_bandwidth_gbs=bandwidth)


def _model(row: dict[str, str]) -> ModelSpec:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    name = MODELS.get(row["model"], row["model"])
    found = from_catalog(name)
    if found is None:
        raise NotExpressed(f"model not in the catalogue: {row['model']}")
    return found


def _plan(row: dict[str, str]) -> TrainingPlan:
    method = row["method"]
    if "spectrum" in method:
        raise NotExpressed(f"method {method}")
    kind = "qlora" if method.startswith("qlora") else "lora" if method.startswith(("lora", "dora")) else "full"
    count = int(row["n_gpus"])
    sharding = "none"
    if count > 1:
        sharding = "zero3" if "zero3" in method else "zero2" if "zero2" in method or "node" in method else "fsdp"
    length = row["seq_len"]
    if not length.isdigit():
        raise NotExpressed("length unknown")
    if row["packing"].startswith(("padded", "no")) and "mean" not in row["packing"]:
        raise NotExpressed("padded: how much of a row is padding is not stated")
    micro, accumulation = _batch(row, count)
    fields: dict[str, Any] = {
        "model": ModelRef(name=row["model"]),
        "method": kind,
        "quantization": "nf4" if kind == "qlora" else "none",
        "micro_batch_size": micro,
        "max_seq_len": int(length),
        "gradient_accumulation_steps": accumulation,
        "num_gpus": count,
        "num_nodes": 2 if "multi-node" in method else max(1, count // 8),
        "sharding": sharding,
        "cpu_offload": "offload" in method,
        "packing": "padded" not in row["packing"],
        "gradient_checkpointing": row["grad_checkpointing"] != "no",
        "optimizer": "adamw_torch",
        "use_dora": method == "dora",
        "loss_kernel": "liger" if "iger" in row["note"] else "full",
    }
    if kind != "full":
        rank = 64 if row["source"].startswith("QwenLM") else 16
        targets = ("all-linear",) if rank == 64 else ("q_proj", "k_proj", "v_proj", "o_proj")
        fields |= {"lora_rank": rank, "lora_alpha": 32, "lora_targets": targets}
    return TrainingPlan(**fields)


def _batch(row: dict[str, str], count: int) -> tuple[int, int]:
    """(micro-batch, accumulation) of one group of GPUs. A stated global batch is run row by row."""
    whole = re.search(r"global batch (\d+)", row["note"])
    groups = max(1, count // _split(row).group)
    micro = int(row["micro_batch"]) if row["micro_batch"].isdigit() else 1 if whole else UNSTATED_MICRO_BATCH
    accumulation = re.search(r"GA (\d+)", row["note"])
    if accumulation:
        return micro, int(accumulation[1])
    return micro, max(1, int(whole[1]) // (micro * groups)) if whole else 1


def _kept_where_it_fits(row: dict[str, str], plan: TrainingPlan, card: Card) -> TrainingPlan:
    """NeMo's recipes keep activations unless told otherwise, so that a row which does not say recomputes where it
    would not have fitted; the others of the table checkpoint."""
    if not row["source"].startswith("NVIDIA-NeMo") or row["grad_checkpointing"]:
        return plan
    kept = msgspec.structs.replace(plan, gradient_checkpointing=False)
    if "Megatron" in row["source"]:
        return kept  # its performance recipes split the model until activations fit
    needed = estimate_memory(_model(row), kept, stack=_stack(row)).device.likely
    return kept if needed <= (card.total_bytes or 0) else plan


def _split(row: dict[str, str]) -> Split:
    """How a model or a sequence is shared, as the note says; tensor parallelism of no stated degree fills a node."""
    note, count = row["note"], int(row["n_gpus"])
    tensor = re.search(r"\bTP ?(\d+)", note)
    context = re.search(r"sequence.parallel size (\d+)", note)
    degree = int(tensor[1]) if tensor else min(count, 8) if "tensor parallel" in note else 1
    return Split(tensor=degree, context=int(context[1]) if context else 1)


def _stack(row: dict[str, str]) -> Stack:
    text = row["source"] + " " + row["note"]
    stack = HF_TRAINER
    if "foak" in row["note"] or "Liger" in text:
        stack = FMS_FUSED
    elif "Megatron" in row["note"] or "NVIDIA-NeMo" in text:
        stack = msgspec.structs.replace(TORCHTITAN, compiled=True)
    elif "torchtune" in text:
        stack = TORCHTUNE
    elif "torchtitan" in text:
        stack = TORCHTITAN
    elif "zero" in row["method"] or "DeepSpeed" in text or (row["method"] == "full" and "Qwen" in row["source"]):
        stack = DEEPSPEED
    if row["source"].startswith("QwenLM") and stack is DEEPSPEED:
        stack = msgspec.structs.replace(stack, slow_step=True)
    changes: dict[str, Any] = {"split": _split(row), "fp8": "fp8" in row["method"]}
    if "compile" in row["note"] or (row["source"].startswith("pytorch/") and "fp8" in row["method"]):
        changes["compiled"] = True  # torchao's float8 is used compiled
    if row["grad_checkpointing"] == "selective":
        changes["selective_checkpointing"] = True
    if "gptq" in row["method"]:
        changes |= {"base_storage": "gptq_int4", "gptq_of_2023": row["source"].startswith("QwenLM")}
    return msgspec.structs.replace(stack, **changes)


def predict(row: dict[str, str]) -> Timed:
    """Raises NotExpressed with the reason."""
    if not row["tokens_per_s_per_gpu"]:
        raise NotExpressed("no token rate published")
    if row["quality"] not in ("A", "B"):
        raise NotExpressed(f"quality {row['quality']}")
    card = _card(row)
    plan = _kept_where_it_fits(row, _plan(row), card)
    exclude_padding = re.search(r"mean (\d+)", row["packing"])
    estimate = estimate_time(
        _model(row),
        plan,
        card,
        len_mean=float(exclude_padding[1]) if exclude_padding else None,
        stack=_stack(row),
    )
    assert estimate is not None
    rate = estimate.tokens_per_second / plan.num_gpus
    if plan.packing:
        rate /= 0.95  # published rates count every token of a packed row
    return Timed(row, rate, float(row["tokens_per_s_per_gpu"]))


def within(timed: list[Timed], factor: float) -> float:
    """Share of rows whose prediction is within this factor."""
    return sum(1 / factor <= one.ratio <= factor for one in timed) / len(timed) if timed else 0.0


def summary(timed: list[Timed]) -> dict[str, Any]:
    """Figures over a group."""
    return {
        "rows": len(timed),
        "within_1.3": within(timed, 1.3),
        "within_2": within(timed, 2.0),
        "in_band": within(timed, TIME_SPREAD),
        "median_ratio": statistics.median(one.ratio for one in timed),
    }


def report(rows: list[dict[str, str]]) -> tuple[dict[str, Any], list[Timed]]:
    """The result as data, and the rows behind it."""
    timed: list[Timed] = []
    left_out: dict[str, int] = defaultdict(int)
    for row in rows:
        try:
            timed.append(predict(row))
        except NotExpressed as reason:
            left_out[str(reason)] += 1
    groups: dict[str, list[Timed]] = defaultdict(list)
    for one in timed:
        groups["source: " + one.row["source"].split(" ")[0]].append(one)
        groups["method: " + one.row["method"]].append(one)
    result = {
        "rows": len(rows),
        "all": summary(timed),
        "groups": {name: summary(members) for name, members in sorted(groups.items())},
        "not_expressed": dict(left_out),
    }
    return result, timed


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--output", metavar="FILE.json", type=Path, help="write the figures as JSON there too")
    parser.add_argument("--rows", action="store_true", help="print every row")
    given = parser.parse_args()
    result, timed = report(read_rows(given.file))
    if given.rows:
        for one in sorted(timed, key=lambda one: one.ratio):
            r = one.row
            print(
                f"{one.ratio:5.2f} {one.measured:8.0f} {r['source'][:22]:<22} {r['model']:<20} {r['method']:<16} "
                f"{r['gpu']:<15} n{r['n_gpus']} b{r['micro_batch']} {r['seq_len']} {r['note'][:50]}"
            )
        return 0
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n")
    if given.json:
        print(json.dumps(result, indent=2))
        return 0
    print(f"{result['all']['rows']} of {result['rows']} rows expressed")
    print(f"{'group':<48}{'rows':>6}{'<1.3x':>8}{'<2x':>8}{'in band':>9}{'median':>8}")
    for name, f in ({"all": result["all"]} | result["groups"]).items():
        shares = "".join(f"{100 * f[key]:8.1f}" for key in ("within_1.3", "within_2", "in_band"))
        print(f"{name:<48}{f['rows']:>6}{shares}{f['median_ratio']:9.2f}")
    for reason, count in result["not_expressed"].items():
        print(f"not expressed: {count:>3} {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
