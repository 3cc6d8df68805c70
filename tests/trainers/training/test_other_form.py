"""Checkpoints of other processes: one form as the other, and what cannot be read at all."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.plans import lora_plan
from trainers.errors import PlanRefused
from trainers.run_folder.checkpoint import seal
from trainers.training.other_form import by_name, by_position, require_readable, said_of_change, state_in_form

TWO: dict[str, Any] = {"num_gpus": 2, "micro_batch_size": 2}


@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_state_by_position_is_that_by_name_and_back(sizes: list[int]) -> None:
    names = [[f"{group}.{place}" for place in range(size)] for group, size in enumerate(sizes)]
    state = {
        "state": {place: {"step": place} for place in range(sum(sizes))},
        "param_groups": [
            {"lr": group, "params": list(range(sum(sizes[:group]), sum(sizes[: group + 1])))}
            for group in range(len(sizes))
        ],
    }
    named = by_name(state, names)
    assert {name for group in named["param_groups"] for name in group["params"]} == named["state"].keys()
    assert by_position(named, names) == state


def test_what_an_optimizer_held_is_the_same_after_both_translations(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    # Another order than the model's, as decayed weights before biases.
    groups = [{"params": [model[0].weight, model[1].weight]}, {"params": [model[0].bias, model[1].bias]}]
    optimizer = torch.optim.AdamW(groups, lr=0.5)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    held = optimizer.state_dict()
    torch.save(held, tmp_path / "optimizer.pt")
    (tmp_path / "scheduler.pt").touch()
    with state_in_form(tmp_path, model, optimizer, in_shards=True) as there:
        named = torch.load(there / "optimizer.bin")
        torch.save(named, tmp_path / "optimizer.bin")
    assert torch.equal(named["state"]["1.weight"]["exp_avg"], optimizer.state[model[1].weight]["exp_avg"])
    with state_in_form(tmp_path, model, optimizer, in_shards=False) as back:
        again = torch.load(back / "optimizer.pt")
    assert again["param_groups"] == held["param_groups"]
    assert all(torch.equal(again["state"][i]["exp_avg_sq"], held["state"][i]["exp_avg_sq"]) for i in range(4))


def written(folder: Path, processes: int, *, by_deepspeed: bool) -> Path:
    path = folder / "checkpoint-4"
    path.mkdir()
    (path / "trainer_state.json").write_text(json.dumps({"global_step": 4}))
    if by_deepspeed:
        (path / "global_step4").mkdir()
        (path / "global_step4" / "part").touch()
    seal(path, step=4, world_size=processes)
    return path


@pytest.mark.parametrize(
    ("processes", "by_deepspeed", "fields"),
    [
        (2, True, {}),
        (2, True, {"sharding": "ddp", **TWO}),
        (4, True, {"sharding": "zero3", **TWO}),
        (2, False, {"sharding": "zero3", **TWO}),
    ],
)
def test_deepspeeds_parts_are_read_by_as_many_processes_of_it_only(
    tmp_path: Path, processes: int, by_deepspeed: bool, fields: dict[str, Any]
) -> None:
    with pytest.raises(PlanRefused, match="checkpoint-4 was written by"):
        require_readable(written(tmp_path, processes, by_deepspeed=by_deepspeed), lora_plan(**fields))


def test_another_number_of_processes_is_said_and_the_same_is_not(tmp_path: Path) -> None:
    path = written(tmp_path, 2, by_deepspeed=False)
    require_readable(path, lora_plan())
    assert "written by 2 processes, gone on with by one process" in (said_of_change(path, lora_plan()) or "")
    assert said_of_change(path, lora_plan(sharding="fsdp", **TWO)) is None
