"""How the benchmark reads published rows: what can be expressed, what cannot and why, units, counters, verdicts."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.memory_accuracy import predict, predict_all, report
from tests.benchmarks.published import GIB, NotExpressed, express

ROOT = Path(__file__).resolve().parents[2]
ROW = {
    "id": "fms-lig-125",
    "source": "foundation-model-stack/fms-acceleration:benchmarks",
    "framework": "fms-hf-tuning (HF Trainer/trl) + fms-acceleration",
    "model": "mistralai/Mistral-7B-v0.1",
    "params_b": "7.242",
    "method": "qlora",
    "base_dtype": "gptq_int4",
    "training_precision": "mixed_fp16",
    "optimizer": "adamw_torch",
    "micro_batch": "4",
    "seq_len": "4096",
    "seq_is_padded_max": "yes",
    "grad_ckpt": "yes",
    "lora_r": "16",
    "lora_targets": "q_proj+k_proj+v_proj+o_proj",
    "train_embeddings": "no",
    "attention": "flash2",
    "fused_ce": "yes",
    "n_gpus": "1",
    "sharding": "none",
    "gpu": "A100-80GB",
    "reported_value": "12.168",
    "reported_unit": "GiB",
    "what_is_reported": "max_allocated",
    "oom": "no",
    "note": "framework_config=accelerated-peft-autogptq-foak-liger; torch peak bytes=13065335808",
}


def row(**changes: str) -> dict[str, str]:
    return ROW | changes


def test_a_complete_row_is_predicted_within_five_percent():
    prediction = predict(express(row()))
    assert prediction.run.value_bytes == 13_065_335_808
    assert prediction.run.grade == "A"
    assert abs(prediction.error) < 0.05
    assert prediction.verdict == "safe"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "vera"}, "method vera"),
        ({"model": "nobody/nothing"}, "not in the catalogue"),
        ({"seq_len": "unknown"}, "sequence length unknown"),
        ({"sharding": "device_map (layer split)"}, "sharding device_map"),
        ({"grad_ckpt": "unknown"}, "checkpointing unknown"),
        ({"lora_r": "unknown"}, "rank unknown"),
        ({"optimizer": "adamw_4bit (torchao)"}, "optimizer adamw_4bit"),
        ({"framework": "something new"}, "framework something new"),
    ],
)
def test_what_cannot_be_expressed_says_why(changes, reason):
    with pytest.raises(NotExpressed, match=reason.replace("(", r"\(")):
        express(row(**changes) if "framework" not in changes else row(**changes, note=""))


def test_units_and_sums():
    value = express(row(note="", reported_value="12", reported_unit="GB")).value_bytes
    assert value == 12 * 10**9
    summed = express(row(note="[sum] framework_config=none", reported_value="24", n_gpus="2", sharding="fsdp"))
    assert summed.value_bytes == 12 * GIB


def test_an_oom_row_of_a_much_too_large_run_is_called_impossible():
    failed = row(
        oom="yes", what_is_reported="card_size", method="full", base_dtype="bf16", training_precision="pure_bf16"
    )
    prediction = predict(
        express(failed | {"lora_r": "na", "lora_targets": "na", "model": "meta-llama/Llama-2-70b-hf"})
    )
    assert prediction.error is None
    assert prediction.verdict == "impossible"


def test_every_row_is_counted_once():
    rows = [row(), row(id="x-001", method="vera"), row(id="y-001", micro_batch="two")]
    result = report(rows)
    assert (result["rows"], result["expressed"]) == (3, 1)
    assert {entry["id"] for entry in result["not_expressed"]} == {"x-001", "y-001"}
    assert len(predict_all(rows)[0]) == 1


@pytest.mark.slow
def test_the_commands_print_text_and_json(tmp_path):
    table = tmp_path / "rows.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ROW)
        writer.writeheader()
        writer.writerows([ROW, row(id="x-001", method="vera")])
    command = [sys.executable, str(ROOT / "tests/benchmarks/memory_accuracy.py"), str(table)]
    kept = tmp_path / "figures.json"
    done = subprocess.run([*command, "--output", str(kept)], capture_output=True, text=True, check=True)
    text = done.stdout
    assert "1 of 2 rows expressed" in text
    assert "method vera: x-001" in text
    data = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert data["by_source"]["fms-lig (A)"]["rows"] == 1
    assert json.loads(kept.read_text()) == data
