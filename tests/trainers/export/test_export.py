"""No wish of a plan is lost on the way to another tool, and every key is one that the tool knows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml

from tests.trainers.plans import full_plan, lora_plan
from trainers import export as exports
from trainers.errors import PlanRefused
from trainers.export import axolotl, export, llama_factory, ms_swift, trl, write
from trainers.export.table import OURS, Unsaid
from trainers.plan import LoraInit, LossKernel, LossOn, Optimizer, Scheduler, Sharding, TrainingPlan, plan_from_dict

KEYS = json.loads((Path(__file__).parents[2] / "fixtures" / "trainers" / "peer_keys.json").read_bytes())
TOOLS = {"trl": trl, "axolotl": axolotl, "llamafactory": llama_factory, "ms-swift": ms_swift}
KNOWN = {
    "axolotl": set(KEYS["axolotl 0.21.0"]),
    "llamafactory": set(KEYS["llamafactory 0.9.5"]),
    "ms-swift": set(KEYS["ms-swift 4.6.0"]),
}


def plans() -> dict[str, TrainingPlan]:
    """One plan for each way of training, together using every field that a tool could be told."""
    gpus = {"accelerator": "cuda", "num_gpus": 4}
    return {
        "full": full_plan(accelerator="cuda"),
        "full fsdp": full_plan(
            **gpus, sharding="fsdp", loss_kernel="liger", lr_scheduler="cosine_with_min_lr", min_lr_ratio=0.1
        ),
        "full zero3": full_plan(**gpus, sharding="zero3", cpu_offload=True, attention="flash2", packing=True),
        "lora": lora_plan(accelerator="cuda", use_rslora=True, modules_to_save=["lm_head"], loraplus_lr_ratio=16.0),
        "lora ddp": lora_plan(**gpus, sharding="ddp", lora_targets=["q_proj"], use_dora=True, lora_init="pissa"),
        "qlora": lora_plan(accelerator="cuda", method="qlora", quantization="nf4", optimizer="paged_adamw_8bit"),
        "qlora fsdp": lora_plan(**gpus, method="qlora", quantization="nf4", sharding="fsdp", report_to=["wandb"]),
        "text": full_plan(accelerator="cuda", dataset={"source": "a.jsonl", "format": "text"}, loss_on="all"),
        "eval set": lora_plan(accelerator="cuda", dataset={"source": "a.jsonl", "eval_source": "b.jsonl"}),
        "odd": lora_plan(
            accelerator="cuda", length_grouping=True, activation_offload=True, neftune_noise_alpha=5.0, max_steps=9,
            trainable_token_indices=[7], lora_expert_targets=["experts.gate_up_proj"], loss_on="completion",
            model={"name": "org/m", "revision": "abc"},
        ),
    }  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_every_field_of_a_plan_has_its_row(tool: str) -> None:
    assert set(TOOLS[tool].TABLE) == {field.name for field in msgspec.structs.fields(TrainingPlan)}


def config_of(tool: str, plan: TrainingPlan) -> dict[str, Any]:
    made = export(plan, tool)
    content = yaml.safe_load(made.files[TOOLS[tool].CONFIG])
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("name", plans())
@pytest.mark.parametrize("tool", KNOWN)
def test_every_key_is_one_that_the_tool_knows(tool: str, name: str) -> None:
    assert set(config_of(tool, plans()[name])) <= KNOWN[tool]


CHOICES = {
    "loss_on": get_args(LossOn),
    "loss_kernel": get_args(LossKernel),
    "optimizer": get_args(Optimizer),
    "lr_scheduler": get_args(Scheduler),
    "attention": ("eager", "sdpa", "flash2"),
    "lora_init": get_args(LoraInit),
    "compute_dtype": ("bf16", "fp16", "fp32"),
    "weights_dtype": ("bf16", "fp32"),
}
NUMBERS: dict[str, Any] = {
    "learning_rate": 3.25e-5, "warmup_steps": 37, "weight_decay": 0.0123, "max_grad_norm": 0.77,
    "neftune_noise_alpha": 4.5,
    "micro_batch_size": 11, "gradient_accumulation_steps": 13, "eval_micro_batch_size": 17, "max_seq_len": 1234,
    "num_epochs": 2.5, "max_steps": 4321, "save_steps": 57, "save_total_limit": 5, "eval_steps": 59,
    "logging_steps": 3,
    "seed": 4711, "dataloader_workers": 6, "lora_rank": 24, "lora_alpha": 56, "lora_dropout": 0.15, "packing": True,
    "length_grouping": True, "gradient_checkpointing": False, "activation_offload": True, "use_rslora": True,
    "use_dora": True, "loraplus_lr_ratio": 12.5, "modules_to_save": ["embed_tokens"],
    "trainable_token_indices": [3, 4],
    "lora_expert_targets": ["experts.w1"], "optimizer_in_backward": True, "report_to": ["tensorboard"],
    "cpu_offload": True, "sharding": "zero3", "num_nodes": 2, "output_dir": "elsewhere", "min_lr_ratio": 0.2,
    "model": {"name": "org/other", "revision": "v2"}, "dataset": {"source": "c.jsonl", "eval_fraction": 0.2},
    "lora_targets": ["o_proj"],
}  # fmt: skip


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("tool", TOOLS)
def test_changing_a_field_changes_the_export_or_is_reported(tool: str, field: str) -> None:
    base: dict[str, Any] = {"accelerator": "cuda"}
    if field in ("cpu_offload", "sharding", "num_nodes"):
        base |= {"num_gpus": 4, "sharding": "ddp" if field == "sharding" else "zero3"}
    before, after = export(lora_plan(**base), tool), export(lora_plan(**base | {field: NUMBERS[field]}), tool)
    same = before.files == after.files and before.command == after.command
    assert not same or field in after.dropped


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in CHOICES.items() for value in values]
)
@pytest.mark.parametrize("tool", TOOLS)
def test_two_values_of_a_choice_are_never_said_alike(tool: str, field: str, value: str) -> None:
    made = export(lora_plan(accelerator="cuda", **{field: value}), tool)
    for other in CHOICES[field]:
        rival = export(lora_plan(accelerator="cuda", **{field: other}), tool)
        assert other == value or made.files != rival.files or field in made.dropped or field in rival.dropped


@pytest.mark.parametrize("tool", TOOLS)
def test_each_sharding_is_told_apart(tool: str) -> None:
    said = {}
    for sharding in get_args(Sharding):
        more = {} if sharding == "none" else {"num_gpus": 4, "sharding": sharding}
        made = export(full_plan(accelerator="cuda", **more), tool)
        if "sharding" not in made.dropped:
            said[sharding] = json.dumps([made.files, made.command])
    assert len(set(said.values())) == len(said) >= 4


@pytest.mark.parametrize("tool", TOOLS)
def test_what_stays_ours_is_only_what_no_tool_does(tool: str) -> None:
    ours = {name for name, row in TOOLS[tool].TABLE.items() if row is OURS}
    assert ours <= {"schema", "num_gpus", "num_nodes", "device_uuids", "delivery", "predicted_peak_bytes", "set_by"}
    assert all(row.reason for row in TOOLS[tool].TABLE.values() if isinstance(row, Unsaid))


def test_what_cannot_be_said_is_reported_with_the_reason() -> None:
    made = export(lora_plan(accelerator="cuda", loraplus_lr_ratio=16.0, lora_init="loftq"), "trl")
    assert set(made.dropped) >= {"loraplus_lr_ratio", "lora_init"}
    assert "packing" in export(lora_plan(accelerator="cuda", packing=True), "ms-swift").dropped


def test_the_chosen_devices_are_in_the_command() -> None:
    plan = lora_plan(accelerator="cuda", num_gpus=2, sharding="ddp", device_uuids=["GPU-a", "GPU-b"])
    assert export(plan, "axolotl").command == (
        "CUDA_VISIBLE_DEVICES=GPU-a,GPU-b axolotl train config.yaml --launcher torchrun -- --nproc-per-node=2"
    )
    assert "NPROC_PER_NODE=2 swift sft" in export(plan, "ms-swift").command


@pytest.mark.parametrize("tool", TOOLS)
def test_methods_that_only_we_have_are_refused(tool: str) -> None:
    with pytest.raises(PlanRefused, match="adapter tuning"):
        export(full_plan(method="adapter", adapter_bottleneck=8), tool)


def test_an_unknown_target_names_the_known() -> None:
    with pytest.raises(PlanRefused, match="axolotl"):
        export(lora_plan(), "axolot")
    assert set(exports.TARGETS) > exports.TOOLS


def test_other_formats_are_converted_to_messages(tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    rows = [{"instruction": "Say hi", "input": "", "output": "hi"}, {"broken": 1}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = write(lora_plan(dataset={"source": str(source), "format": "alpaca"}), "trl", tmp_path / "out")
    converted = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    assert converted == [
        {"messages": [{"role": "user", "content": "Say hi"}, {"role": "assistant", "content": "hi"}]}
    ]
    assert str(tmp_path / "out" / "train.jsonl") in made.files["sft.yaml"]
    assert (tmp_path / "out" / "sft.yaml").read_text() == made.files["sft.yaml"]


TRL_PARSER = """
import sys
from accelerate.commands.launch import launch_command_parser
from trl.scripts.sft import make_parser
for file in sys.argv[1:]:
    words = ["--config", file, "--use_cpu", "true"]
    *_, rest = make_parser().parse_args_and_config(words, return_remaining_strings=True)
    launch_command_parser().parse_args([*rest, "script.py"])
    print("taken", file)
"""


@pytest.mark.slow
def test_trls_own_parser_takes_every_plan(tmp_path: Path) -> None:
    files = []
    for index, (name, plan) in enumerate(plans().items()):
        made = export(plan, "trl")
        file = tmp_path / f"{index}.yaml"
        content = yaml.safe_load(made.files["sft.yaml"]) | {"output_dir": str(tmp_path / name.replace(" ", "_"))}
        content.pop("accelerate_config", None)  # resolved by the command line before the parser sees it
        file.write_text(yaml.safe_dump(content))
        files.append(str(file))
    command = [sys.executable, "-c", TRL_PARSER, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.stdout.count("taken") == len(files), done.stderr[-2000:]


def test_an_export_of_a_plan_with_nothing_special_drops_nothing_that_matters() -> None:
    plan = plan_from_dict(
        {"model": {"name": "org/m"}, "dataset": {"source": "a.jsonl", "format": "messages"}, "method": "lora",
         "lora_rank": 16, "lora_alpha": 32, "lora_targets": ["all-linear"], "loss_kernel": "full"}
    )  # fmt: skip
    assert {tool: export(plan, tool).dropped for tool in TOOLS} == {
        "trl": {"loss_kernel": "TRL always computes the loss in tiles"},
        "axolotl": {},
        "llamafactory": {},
        "ms-swift": {},
    }  # fmt: skip
