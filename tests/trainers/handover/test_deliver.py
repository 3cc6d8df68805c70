import ast
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.trainers.handover.test_ollama import CHATML
from tests.trainers.plans import full_plan, lora_plan
from trainers.errors import PlanRefused
from trainers.handover.deliver import deliver
from trainers.handover.serving import VLLM_RANKS, commands, saved_rank, vllm_rank, vllm_refusals
from trainers.plan import TrainingPlan, save_plan

RECORD = {
    "parameters": {"trainable": 16384},
    "evaluation": {"base": {"loss": 3.2, "exact": 0}, "tuned": {"loss": 1.1, "exact": 7, "exact_of": 9}},
    "versions": {"torch": "2.13.0"},
    "data": {"train_examples": 1200},
}


def run_folder(tmp_path: Path, plan: TrainingPlan, folder: str = "result") -> Path:
    run_dir = tmp_path / "support"
    save_plan(plan, run_dir / "plan.toml")
    (run_dir / "run.json").write_text(json.dumps(RECORD))
    result = run_dir / folder
    result.mkdir()
    if folder == "result":
        config = {"base_model_name_or_path": "/mnt/here", "r": plan.lora_rank}
        (result / "adapter_config.json").write_text(json.dumps(config))
    else:
        (result / "config.json").write_text("{}")
    (result / "chat_template.jinja").write_text(CHATML)
    (result / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    return run_dir


def test_an_adapter_is_ready_for_vllm_with_rank_template_and_published_base(tmp_path: Path) -> None:
    run_dir = run_folder(tmp_path, lora_plan(lora_rank=24, lora_alpha=48))
    done = deliver(run_dir, base_name="org/base")
    folder = run_dir / "result"
    assert done.served["vllm"].command == (
        f"vllm serve org/base --enable-lora --lora-modules support={folder} --max-lora-rank 32 --max-loras 1 "
        f"--chat-template {folder}/chat_template.jinja"
    )
    assert json.loads((folder / "adapter_config.json").read_bytes())["base_model_name_or_path"] == "org/base"
    assert "ADAPTER ./adapter.gguf" in (folder / "Modelfile").read_text()
    served = (folder / "serve.json").read_text()
    assert set(json.loads(served)) == set(done.served)
    assert str(tmp_path) not in served


def test_servers_are_told_the_rank_of_the_files_not_of_the_plan(tmp_path: Path) -> None:
    """PiSSA is saved with twice the rank, and a server ends at an adapter above its limit."""
    plan = lora_plan(lora_rank=24, lora_alpha=48, lora_init="pissa")
    run_dir = run_folder(tmp_path, plan)
    (run_dir / "result" / "adapter_config.json").write_text(json.dumps({"r": 48}))
    served = deliver(run_dir).served
    assert "--max-lora-rank 64 " in str(served["vllm"].command)
    assert "--max-lora-rank 48 " in str(served["sglang"].command)
    assert saved_rank(plan) == 48, "what is known before there are files"
    assert "end at 512" in vllm_refusals(lora_plan(lora_rank=320, lora_init="pissa"))[0]


def test_the_card_says_what_was_measured_and_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    run_dir = run_folder(tmp_path, lora_plan())
    deliver(run_dir, base_name="org/base")
    card = (run_dir / "result" / "README.md").read_text()
    assert card.startswith("---\nbase_model: org/base\nbase_model_relation: adapter\nlibrary_name: peft\n")
    assert "3.2 before, 1.1 after" in card
    assert "0 before, 7 after, of 9" in card
    assert str(tmp_path) not in card


def test_a_merged_model_is_delivered_before_the_adapter(tmp_path: Path) -> None:
    run_dir = run_folder(tmp_path, lora_plan(), folder="merged")
    done = deliver(run_dir)
    assert done.artifact == "model"
    assert done.served["vllm"].command == f"vllm serve {run_dir}/merged --served-model-name support"
    assert (run_dir / "merged" / "Modelfile").read_text().startswith("FROM ./support.gguf\n")


def test_what_was_merged_elsewhere_is_delivered_there(tmp_path: Path) -> None:
    run_dir = run_folder(tmp_path, lora_plan())
    elsewhere = (run_folder(tmp_path / "other", lora_plan(), folder="merged") / "merged").rename(tmp_path / "served")
    done = deliver(run_dir, folder=elsewhere)
    assert (done.folder, done.artifact) == (elsewhere, "model")
    assert (elsewhere / "README.md").is_file()
    assert not (run_dir / "result" / "README.md").exists()
    with pytest.raises(PlanRefused, match="holds no result"):
        deliver(run_dir, folder=tmp_path)


@pytest.mark.parametrize(
    ("fields", "engine", "why"),
    [
        ({"use_dora": True}, "vllm", "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "vllm", "embeddings or a head"),
        ({"lora_rank": 600}, "vllm", "end at 512"),
        ({"use_rslora": True}, "sglang", "scale an rsLoRA adapter wrongly"),
        ({"trainable_token_indices": [5]}, "llama_cpp", "plain LoRA matrices"),
    ],
)
def test_what_an_engine_would_refuse_or_get_wrong_is_said(
    tmp_path: Path, fields: dict[str, Any], engine: Any, why: str
) -> None:
    run_dir = run_folder(tmp_path, lora_plan(**fields))
    how = deliver(run_dir).served[engine]
    assert how.command is None
    assert why in how.refused
    assert how.refused.endswith("merge it first: sft-advisor runs merge RUN")


def test_prefixes_are_not_told_to_be_merged(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(lora_plan(), method="prefix")
    (tmp_path / "adapter_config.json").touch()
    assert "cannot be merged" in commands(plan, tmp_path, base="b", name="n")["vllm"].refused


def test_the_rank_limit_is_the_smallest_that_takes_it() -> None:
    assert [vllm_rank(rank) for rank in (1, 2, 8, 9, 64, 512, 513)] == [1, 8, 8, 16, 64, 512, None]
    assert all(vllm_rank(rank) == rank for rank in VLLM_RANKS)


@pytest.mark.parametrize("folder", ["result", "merged"])
def test_a_base_that_only_this_machine_has_is_noted(tmp_path: Path, folder: str) -> None:
    """The card names it, for a merged model too."""
    (tmp_path / "model").mkdir()
    run_dir = run_folder(tmp_path, lora_plan(model={"name": str(tmp_path / "model")}), folder=folder)
    assert "--base-name" in deliver(run_dir).notes[0]
    assert not any("--base-name" in note for note in deliver(run_dir, base_name="org/base").notes)


def test_a_run_without_a_result_is_refused(tmp_path: Path) -> None:
    save_plan(lora_plan(), tmp_path / "plan.toml")
    with pytest.raises(PlanRefused, match="no result to deliver"):
        deliver(tmp_path)


def test_a_base_in_a_folder_is_named_as_a_folder_to_the_converter(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    run_dir = run_folder(tmp_path, lora_plan(model={"name": str(tmp_path / "model")}))
    here, elsewhere = (deliver(run_dir, base_name=name).served["llama_cpp"].command for name in (None, "org/base"))
    assert f"--base {tmp_path / 'model'} " in str(here)
    assert "--base-model-id org/base " in str(elsewhere)


def test_ollama_gets_a_file_that_is_quantised_already(tmp_path: Path) -> None:
    """Older versions of `ollama create -q` refuse bf16."""
    command = str(commands(full_plan(), tmp_path, base="b", name="n")["ollama"].command)
    assert "llama-quantize" in command
    assert " -q " not in command


@pytest.mark.parametrize("name", ["My Model: v2 #1", "evil\nlicense: mit\ntags:\n- x", "it's\"quoted"])
def test_a_card_names_no_place_of_this_machine_and_no_key_of_a_stranger(tmp_path: Path, name: str) -> None:
    base = tmp_path / "users" / "jane" / name
    base.mkdir(parents=True)
    run_dir = run_folder(tmp_path, lora_plan())
    deliver(run_dir, base_name=str(base), name=name)
    card = (run_dir / "result" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert set(front) == {"library_name", "pipeline_tag", "tags"}
    adapter = json.loads((run_dir / "result" / "adapter_config.json").read_bytes())
    assert adapter["base_model_name_or_path"] == name
    assert "jane" not in card
    code = card.split("```python\n")[1].split("```")[0]
    assert {node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)} >= {name}


def test_a_hub_id_is_named_as_the_base(tmp_path: Path) -> None:
    run_dir = run_folder(tmp_path, lora_plan())
    deliver(run_dir, base_name="gpt2")
    front = yaml.safe_load((run_dir / "result" / "README.md").read_text().split("---")[1])
    assert (front["base_model"], front["base_model_relation"]) == ("gpt2", "adapter")
