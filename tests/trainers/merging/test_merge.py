"""Merging against peft's own arithmetic and against the logits of the adapter, on the tiny model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.commands.calling import warmly
from tests.documents import validated
from trainers.errors import NotMergeable, PlanRefused
from trainers.handover.deliver import deliver
from trainers.handover.serving import saved_rank
from trainers.merging import merge
from trainers.merging.merge import merge_run, on_cpu
from trainers.merging.tensor_files import TensorFolder
from trainers.methods import backend
from trainers.plan import plan_from_dict, save_plan

pytestmark = pytest.mark.slow


@pytest.fixture
def finished(tmp_path: Path, make_plan: Callable[..., dict[str, Any]], tiny_model: Path) -> Callable[..., Path]:
    """A run folder with an adapter whose every part is random, as if it had been trained."""

    def build(method: str = "lora", **fields: Any) -> Path:
        run_dir = tmp_path / "run"
        plan = plan_from_dict(make_plan(method, **fields))
        save_plan(plan, run_dir / "plan.toml")
        torch.manual_seed(1)
        model = backend(plan.method).trainable(backend(plan.method).load(plan), plan)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data += 0.05 * torch.randn_like(parameter)
        backend(plan.method).save(model, plan, run_dir / "result")
        AutoTokenizer.from_pretrained(tiny_model).save_pretrained(run_dir / "result")
        return run_dir

    return build


def test_as_json_a_merge_is_one_document_whatever_else_it_made(finished: Callable[..., Path], tmp_path: Path) -> None:
    run_dir = finished()
    words = ("runs", "merge", str(run_dir), "--deliver", "--base-name", "org/base", "--json")
    done = warmly(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    said = validated("merge", json.loads(done.stdout))
    assert said["folder"] == str(run_dir / "merged")
    assert said["gap"]["kl"] < merge.LARGEST_KL
    assert said["delivered"]["artifact"] == "model"
    assert {"README.md", "serve.json"} <= set(said["delivered"]["files"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use_rslora": True, "lora_targets": ["q_proj", "down_proj"]},
        {"use_dora": True},
        {"lora_rank": 3, "lora_alpha": 7, "micro_batch_size": 1},
    ],
)
def test_weight_by_weight_is_what_peft_computes(finished: Callable[..., Path], fields: dict[str, Any]) -> None:
    run_dir = finished(**fields)
    done = merge_run(run_dir)
    plan = on_cpu(plan_from_dict(msgspec_plan(run_dir)))
    assert done.how == "weight by weight"
    assert done.gap is not None
    assert done.gap.kl < 1e-6
    expected = backend(plan.method).merge(backend(plan.method).load(plan), run_dir / "result").state_dict()
    for name, tensor in load_file(done.folder / "model.safetensors").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)
    assert json.loads((run_dir / "run.json").read_bytes())["merge"]["gap"]["equal_top_tokens"] == 1.0


def msgspec_plan(run_dir: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads((run_dir / "plan.toml").read_text())


def test_qlora_goes_into_the_dequantised_base(finished: Callable[..., Path], tiny_model: Path) -> None:
    done = merge_run(finished("qlora"))
    assert done.how == "weight by weight"
    assert done.gap is not None
    assert done.gap.kl < 1e-6
    config = json.loads((done.folder / "config.json").read_bytes())
    assert "quantization_config" not in config
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(done.folder / "model.safetensors")
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])


def test_merging_qlora_into_the_original_base_would_be_caught(
    finished: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "packed_modules", lambda *_: frozenset())
    monkeypatch.setattr(merge, "LARGEST_KL", 1e-5)
    run_dir = finished("qlora")
    with pytest.raises(NotMergeable, match="answers differently"):
        merge_run(run_dir)
    assert sorted(path.name for path in run_dir.iterdir()) == ["plan.toml", "result"]


def test_the_result_loads_in_plain_transformers_and_generates(finished: Callable[..., Path]) -> None:
    done = merge_run(finished(), dtype="bf16")
    model = AutoModelForCausalLM.from_pretrained(done.folder)
    tokenizer = AutoTokenizer.from_pretrained(done.folder)
    assert model.dtype == torch.bfloat16
    assert model.generate(**tokenizer("Hello", return_tensors="pt"), max_new_tokens=3).shape[1] > 1
    assert tokenizer.chat_template


def test_a_base_in_several_files_stays_in_several_files(
    finished: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    sharded = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(tiny_model).save_pretrained(sharded, max_shard_size="100KB")
    for file in tiny_model.glob("token*"):
        shutil.copy(file, sharded)
    shutil.copy(tiny_model / "chat_template.jinja", sharded)
    done = merge_run(finished(model={"name": str(sharded)}))
    assert done.gap is not None
    assert done.gap.kl < 1e-6
    assert len(list(done.folder.glob("model-*.safetensors"))) == len(list(sharded.glob("model-*.safetensors"))) > 1


@pytest.mark.parametrize("fields", [{"trainable_token_indices": [5, 6]}, {"modules_to_save": ["embed_tokens"]}])
def test_trained_tokens_and_tied_embeddings_are_merged_too(
    finished: Callable[..., Path], fields: dict[str, Any]
) -> None:
    done = merge_run(finished(**fields))
    assert done.gap is not None
    assert done.gap.kl < 1e-6


@pytest.mark.parametrize(
    ("method", "reason"),
    [("prefix", "not to any weight"), ("adapter", "nonlinear"), ("full", "already a whole model")],
)
def test_what_cannot_be_merged_is_refused_with_the_reason(
    make_plan: Callable[..., dict[str, Any]], tmp_path: Path, method: str, reason: str
) -> None:
    save_plan(plan_from_dict(make_plan(method)), tmp_path / "plan.toml")
    with pytest.raises(NotMergeable, match=reason):
        merge_run(tmp_path)


def test_an_unfinished_run_is_refused(make_plan: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    save_plan(plan_from_dict(make_plan()), tmp_path / "plan.toml")
    with pytest.raises(PlanRefused, match="holds no adapter"):
        merge_run(tmp_path)


def test_pissa_is_served_by_the_rank_that_it_is_saved_with(finished: Callable[..., Path]) -> None:
    run_dir = finished(lora_init="pissa")
    plan = plan_from_dict(msgspec_plan(run_dir))
    assert saved_rank(plan) == saved_rank(plan, run_dir / "result") == 2 * 8
    assert "--max-lora-rank 16 " in str(deliver(run_dir).served["vllm"].command)


def test_a_merge_takes_the_place_of_nothing_but_its_own_last_one(
    finished: Callable[..., Path], tmp_path: Path
) -> None:
    run_dir, mine, out = finished(), tmp_path / "models", tmp_path / "out"
    mine.mkdir()
    (mine / "notes.txt").touch()
    with pytest.raises(PlanRefused, match="holds something else already"):
        merge_run(run_dir, out=mine)
    assert (mine / "notes.txt").exists()
    out.mkdir()
    for _ in range(2):
        assert merge_run(run_dir, out=out, check=False).folder == out


def test_memory_holds_one_weight_and_not_the_model(tmp_path: Path) -> None:
    """A base of 200 MB; what is mapped from its file counts as shared and is not the process's own."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    base.mkdir()
    adapter.mkdir()
    layers = [f"model.layers.{number}.mlp.up_proj" for number in range(50)]
    save_file({f"{layer}.weight": torch.ones(1024, 1024) for layer in layers}, base / "model.safetensors")
    parts = {f"base_model.model.{layer}.lora_A.weight": torch.ones(2, 1024) for layer in layers}
    parts |= {f"base_model.model.{layer}.lora_B.weight": torch.ones(1024, 2) for layer in layers}
    save_file(parts, adapter / "adapter_model.safetensors")
    LoraConfig(r=2, lora_alpha=4, target_modules=["up_proj"]).save_pretrained(adapter)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED_MERGE, str(base), str(adapter), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 60 << 20
    with TensorFolder(tmp_path) as merged:
        assert len(list(merged)) == len(layers)
        assert merged.tensor(f"{layers[7]}.weight").unique().tolist() == [1 + 2 * 2]


MEASURED_MERGE = """
import sys
from pathlib import Path
import peft, psutil, torch
from trainers.merging.lora_delta import LoraDelta
from trainers.merging.merge import _stream
from trainers.merging.tensor_files import TensorFolder

base, adapter, target = map(Path, sys.argv[1:])
with TensorFolder(base) as tensors:
    delta = LoraDelta(adapter, tensors)
    assert delta.obstacle is None
    peaks, merged = [], delta.merged
    def watched(name):
        found = merged(name)
        info = psutil.Process().memory_info()
        peaks.append(info.rss - info.shared)
        return found
    delta.merged = watched
    start = psutil.Process().memory_info()
    _stream(delta, tensors, target, None)
print(max(peaks) - (start.rss - start.shared))
"""
