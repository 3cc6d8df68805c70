"""No wish of a plan is lost on the way to another tool, and every key is one that the tool knows."""

import json
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml

from advisor.commands import export as export_command
from tests.soak.validate_peers import VALIDATORS
from tests.trainers import plans as small
from tests.waiting import PATIENCE_SECONDS
from trainers import export as exports
from trainers.errors import PlanRefused
from trainers.export import TARGETS, describe, export, write
from trainers.export.table import Target, Unsaid
from trainers.method import METHODS, Method
from trainers.plan import (
    DatasetRef,
    LoraInit,
    LossKernel,
    LossOn,
    ModelRef,
    Optimizer,
    PlanError,
    Scheduler,
    Sharding,
    TrainingPlan,
    load_plan,
    plan_from_dict,
)
from trainers.plan_fields import OURS, fields_about

KEYS = json.loads((Path(__file__).parents[2] / "fixtures" / "trainers" / "peer_keys.json").read_bytes())
"""Tool and version -> every key that its own parser knows."""
TOOLS = {target: import_module(module) for target, module in TARGETS.items() if describe(target).trains_by_itself}


MODEL = {"name": "Qwen/Qwen2.5-0.5B"}
"""One that every tool can be told of; torchtune builds its models by hand."""


def lora_plan(**changes: Any) -> TrainingPlan:
    return small.lora_plan(**{"model": MODEL} | changes)


def full_plan(**changes: Any) -> TrainingPlan:
    return small.full_plan(**{"model": MODEL} | changes)


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
            model=MODEL | {"revision": "abc"},
        ),
    }  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_every_field_of_a_plan_has_its_row_or_says_why_not(tool: str) -> None:
    about = fields_about(TrainingPlan)
    unsaid = {name for name, field in about.items() if field.export is None} - set(TOOLS[tool].TABLE)
    module = TARGETS[tool]
    assert not unsaid, f"{module}.TABLE has no row for {unsaid}; or say about(..., export=REASON) in trainers/plan.py"
    assert set(TOOLS[tool].TABLE) <= set(about)


def test_what_no_table_knows_is_dropped_with_the_field_s_own_reason() -> None:
    plan = full_plan(accelerator="cuda", optimizer_in_backward=True)
    reason = fields_about(TrainingPlan)["optimizer_in_backward"].export
    assert {export(plan, tool).dropped["optimizer_in_backward"] for tool in TOOLS} == {reason}


def config_of(tool: str, plan: TrainingPlan) -> dict[str, Any]:
    made = export(plan, tool)
    content = yaml.safe_load(made.files[TOOLS[tool].CONFIG])
    assert isinstance(content, dict)
    return content


def known_keys(tool: str) -> set[str]:
    known = f"{tool} {describe(tool).version}"
    assert known in KEYS, f"tests/fixtures/trainers/peer_keys.json lacks {known!r}: the keys that its parser takes"
    return set(KEYS[known])


@pytest.mark.parametrize("name", plans())
@pytest.mark.parametrize("tool", TOOLS)
def test_every_key_is_one_that_the_tool_knows(tool: str, name: str) -> None:
    known = known_keys(tool)
    for key, value in config_of(tool, plans()[name]).items():
        said = {key} if key in known or not isinstance(value, dict) else {f"{key}.{inner}" for inner in value}
        assert said <= known


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
    "neftune_noise_alpha": 4.5, "early_stopping_patience": 2,
    "micro_batch_size": 11, "gradient_accumulation_steps": 13, "eval_micro_batch_size": 17, "max_seq_len": 1234,
    "num_epochs": 2.5, "max_steps": 4321, "save_steps": 57, "save_total_limit": 5, "eval_steps": 59,
    "logging_steps": 3,
    "seed": 4711, "dataloader_workers": 6, "lora_rank": 24, "lora_alpha": 56, "lora_dropout": 0.15, "packing": True,
    "length_grouping": True, "gradient_checkpointing": False, "activation_offload": True, "use_rslora": True,
    "use_dora": True, "loraplus_lr_ratio": 12.5, "modules_to_save": ["embed_tokens"],
    "trainable_token_indices": [3, 4],
    "lora_expert_targets": ["experts.w1"], "lora_expert_rank": 6, "optimizer_in_backward": True,
    "report_to": ["tensorboard"],
    "cpu_offload": True, "sharding": "zero3", "num_nodes": 2, "output_dir": "elsewhere", "min_lr_ratio": 0.2,
    "model": {"name": "Qwen/Qwen2.5-3B", "revision": "v2"}, "dataset": {"source": "c.jsonl", "eval_fraction": 0.2},
    "lora_targets": ["o_proj"],
}  # fmt: skip


SHAPING = {"method", "quantization", "accelerator"}
"""Change the whole plan; tests of their own."""
OTHERS = [
    name
    for name, field in fields_about(TrainingPlan).items()
    if field.export is None and name not in {*NUMBERS, *CHOICES, *SHAPING}
]


def another_value(name: str) -> Any:
    """A value of this field that is not its default."""
    default = next(field.default for field in msgspec.structs.fields(TrainingPlan) if field.name == name)
    assert isinstance(default, bool | int | float), f"NUMBERS in this file lacks a value for the plan field {name}"
    return not default if isinstance(default, bool) else default + (1 if isinstance(default, int) else 0.1)


@pytest.mark.parametrize("field", [*NUMBERS, *OTHERS])
@pytest.mark.parametrize("tool", TOOLS)
def test_changing_a_field_changes_the_export_or_is_reported(tool: str, field: str) -> None:
    base: dict[str, Any] = {"accelerator": "cuda"}
    if field in ("cpu_offload", "sharding", "num_nodes"):
        base |= {"num_gpus": 4, "sharding": "ddp" if field == "sharding" else "zero3"}
    value = NUMBERS[field] if field in NUMBERS else another_value(field)
    before, after = export(lora_plan(**base), tool), export(lora_plan(**base | {field: value}), tool)
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
    assert len(set(said.values())) == len(said)
    assert "none" in said


def test_what_stays_ours_is_only_what_no_tool_does() -> None:
    ours = {name for name, field in fields_about(TrainingPlan).items() if field.export == OURS}
    assert ours == {
        "schema",
        "num_gpus",
        "num_nodes",
        "device_uuids",
        "delivery",
        "predicted_peak_bytes",
        "made_for",
        "set_by",
    }


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_has_no_word_for_has_a_reason(tool: str) -> None:
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


ONE_OF_EACH: dict[Method, TrainingPlan] = {
    method: full_plan(accelerator="cuda", **small.of_method(method)) for method in METHODS
}
OWN_FIELDS = {
    "prefix": "num_virtual_tokens",
    "adapter": "adapter_bottleneck",
    "lora": "lora_rank",
    "qlora": "quantization",
}


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("target", TARGETS)
def test_a_method_is_said_or_refused_by_name(target: str, method: Method) -> None:
    if method not in describe(target).methods:
        with pytest.raises(
            PlanRefused, match=re.escape(f"{describe(target).title} cannot be told to do {METHODS[method].title}")
        ) as refused:
            export(ONE_OF_EACH[method], target)
        assert "--wish-method" in refused.value.fix
        return
    made = export(ONE_OF_EACH[method], target)
    assert OWN_FIELDS.get(method) not in made.dropped
    others = {other: export(ONE_OF_EACH[other], target) for other in describe(target).methods if other != method}
    alike = [other for other, rival in others.items() if (rival.files, rival.command) == (made.files, made.command)]
    assert not alike, f"{target} says {method} as it says {alike}"


def test_each_module_of_the_folder_is_registered_and_says_what_it_can_do() -> None:
    folder = Path(exports.__file__).parent
    exporters = {
        f"trainers.export.{file.stem}" for file in folder.glob("*.py") if "\ndef export(" in file.read_text("utf-8")
    } - {"trainers.export.__init__"}
    assert exporters == set(TARGETS.values()), "trainers/export/__init__.py: TARGETS has a row for each exporter"
    for target, module in TARGETS.items():
        about = getattr(import_module(module), "TARGET", None)
        assert isinstance(about, Target), f"{module} has no TARGET, which says what {target} can do"
        assert about.methods and set(about.methods) <= set(get_args(Method)), target
        assert bool(about.version) >= about.trains_by_itself, f"TARGET of {module} names no version"


def test_no_two_targets_are_the_same_tool() -> None:
    titles = [describe(target).title for target in TARGETS]
    assert len(set(titles)) == len(titles), f"two modules call themselves the same: {sorted(titles)}"
    said: dict[str, str] = {}
    for target in TARGETS:
        made = export(lora_plan(accelerator="cuda"), target)
        twin = said.setdefault(json.dumps([made.files, made.command]), target)
        assert twin == target, f"{target} says a plan exactly as {twin} does"


@pytest.mark.parametrize("target", TARGETS)
def test_a_reader_learns_of_every_target(target: str) -> None:
    assert target in (export_command.__doc__ or ""), f"advisor/commands/export.py does not name {target}"
    readme = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    assert describe(target).title in readme, f"README.md does not name {describe(target).title}"


def test_each_tool_is_judged_by_its_own_validator() -> None:
    assert set(VALIDATORS) | {"trl"} == set(TOOLS), "tests/soak/validate_peers.py: VALIDATORS has a row for each tool"


def test_an_unknown_target_names_the_known(tmp_path: Path) -> None:
    for refuse in (lambda: export(lora_plan(), "axolot"), lambda: write(lora_plan(), "axolot", tmp_path)):
        with pytest.raises(PlanRefused, match="axolotl") as refused:
            refuse()
        assert all(target in refused.value.fix for target in TARGETS)


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


def test_an_evaluation_set_is_converted_as_the_training_set_is(tmp_path: Path) -> None:
    row = {"instruction": "Say hi", "input": "", "output": "hi"}
    for name in ("rows.jsonl", "held.jsonl"):
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    source, eval_source = (str(tmp_path / name) for name in ("rows.jsonl", "held.jsonl"))
    dataset = {"source": source, "format": "alpaca", "eval_source": eval_source}
    made = write(lora_plan(dataset=dataset), "axolotl", tmp_path / "out")
    held = tmp_path / "out" / "evaluation.jsonl"
    assert json.loads(held.read_text())["messages"][1]["content"] == "hi"
    assert str(held) in made.files["config.yaml"]


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
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert done.stdout.count("taken") == len(files), done.stderr[-2000:]


ALWAYS_SAID = {
    "trl": {"loss_kernel": "TRL always computes the loss in tiles"},
    "unsloth": {
        "dataset": "its command line keeps no part back: all examples are trained on",
        "loss_kernel": "it brings a loss kernel of its own",
    },
    "torchtune": {"dataset": "its recipes evaluate nothing"},
}
"""What a tool cannot be told even of an ordinary plan."""


@pytest.mark.parametrize("tool", TOOLS)
def test_an_export_of_a_plan_with_nothing_special_drops_nothing_that_matters(tool: str) -> None:
    plan = plan_from_dict(
        {"model": MODEL, "dataset": {"source": "a.jsonl", "format": "messages"}, "method": "lora",
         "lora_rank": 16, "lora_alpha": 32, "lora_targets": ["all-linear"], "loss_kernel": "full"}
    )  # fmt: skip
    assert export(plan, tool).dropped == ALWAYS_SAID.get(tool, {})


HOSTILE = ["0; touch PWNED #", "$(id)", "a'b\"c`d`", "line\n#SBATCH --wrap=id", "\x1b]0;x\x07", "\u202eabc", "'''"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_plan_leaves_its_place(target: str, text: str, tmp_path: Path) -> None:
    """Every free text of the plan at once: what starts the tool stays one command, and each file reads back."""
    plan = lora_plan(output_dir=text, report_to=["tensorboard"])
    plan = msgspec.structs.replace(
        plan,
        model=ModelRef(name=f"{MODEL['name']}/{text}", revision=text),
        dataset=DatasetRef(source=text, format="messages"),
    )
    made = export(plan, target)
    assert not [word for word in shlex.split(made.command) if word in ("touch", "PWNED")]
    for name, content in made.files.items():
        if name.endswith((".yaml", ".yml")):
            assert isinstance(yaml.safe_load(content), dict)
        elif name.endswith(".toml"):
            assert msgspec.toml.decode(content)["model"]["name"] == f"{MODEL['name']}/{text}"
        elif name.endswith(".sh"):
            assert "touch PWNED" not in content and "--wrap" not in content


def test_a_device_that_no_driver_names_is_refused() -> None:
    with pytest.raises(PlanError, match="device_uuids"):
        load_plan(Path(__file__).parents[2] / "fixtures" / "security" / "plan_device_uuid_shell.toml")
