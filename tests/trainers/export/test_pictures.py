"""A plan on pictures for other tools: their rows, their template, adapters in the language model alone."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.trainers.export.test_export import known_keys, lora_plan
from trainers.errors import PlanRefused
from trainers.export import TARGETS, describe, write
from trainers.export.pictures import language_model_alone
from trainers.pictures.families import ELSEWHERE, FAMILIES
from trainers.plan import TrainingPlan

PNG = b"\x89PNG\r\n\x1a\n" + bytes(400)
CONFIGS = {"axolotl": "config.yaml", "llamafactory": "sft.yaml", "ms-swift": "sft.yaml"}
FROZEN = {"axolotl": "freeze_mm_modules", "llamafactory": "freeze_vision_tower", "ms-swift": "freeze_vit"}
QUESTION = {"role": "user", "content": "<image>\nWhich colour, and which <image>?"}


def plan_in(folder: Path, model_type: str = "qwen2_5_vl", tower: str = "", **changes: Any) -> TrainingPlan:
    """A plan whose model is a folder with this config, and whose data is one usable row of two pictures."""
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text(json.dumps({"model_type": model_type, "vision_config": {"model_type": tower}}))
    (folder / "red.png").write_bytes(PNG)
    held = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    answer = {"role": "assistant", "content": "Red."}
    rows = [
        {"images": ["red.png", held], "messages": [QUESTION, answer]},
        {"images": ["https://example.org/a.png", "red.png"], "messages": [QUESTION, answer]},
    ]
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = {"model": {"name": str(model)}, "dataset": {"source": str(source), "format": "messages"}}
    return lora_plan(accelerator="cuda", reads_images=True, packing=False, **told | changes)


def exported(tool: str, folder: Path, **changes: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The tool's configuration, and the rows that it reads."""
    made = write(plan_in(folder, **changes), tool, folder / "out")
    assert "reads_images" not in made.dropped
    lines = (folder / "out" / "train.jsonl").read_text().splitlines()
    return yaml.safe_load(made.files[CONFIGS[tool]]), [json.loads(line) for line in lines]


@pytest.mark.parametrize("tool", ["llamafactory", "ms-swift"])
def test_rows_of_marks_name_their_pictures_in_a_column(tool: str, tmp_path: Path) -> None:
    _, (row,) = exported(tool, tmp_path)
    assert row["messages"][0] == QUESTION
    first, second = map(Path, row["images"])
    assert first == tmp_path / "red.png" and second == tmp_path / "out" / "images" / "000001.png"
    assert second.read_bytes() == PNG
    if tool == "llamafactory":
        registry = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
        assert registry["train"]["columns"]["images"] == "images"


def test_rows_of_parts_hold_each_picture_in_its_turn(tmp_path: Path) -> None:
    _, (row,) = exported("axolotl", tmp_path)
    assert "images" not in row
    asked, answered = row["messages"]
    assert [part["type"] for part in asked["content"]] == ["image", "text", "image", "text"]
    assert asked["content"][0]["path"] == str(tmp_path / "red.png")
    assert answered["content"] == [{"type": "text", "text": "Red."}]


@pytest.mark.parametrize("tool", CONFIGS)
def test_the_tower_is_frozen_by_words_that_the_tool_knows(tool: str, tmp_path: Path) -> None:
    config, _ = exported(tool, tmp_path)
    assert set(config) <= known_keys(tool)
    assert config[FROZEN[tool]] is True
    adapted = config.get("lora_target_modules") or config.get("target_regex")
    assert tool == "llamafactory" or re.fullmatch(adapted, "model.language_model.layers.0.self_attn.q_proj")
    assert tool == "llamafactory" or not re.fullmatch(adapted, "model.visual.blocks.0.attn.q_proj")


def test_a_limit_on_pixels_is_said_or_dropped_with_the_reason(tmp_path: Path) -> None:
    assert exported("ms-swift", tmp_path / "a", max_pixels=40_000)[0]["max_pixels"] == 40_000
    assert exported("llamafactory", tmp_path / "b", max_pixels=40_000)[0]["image_max_pixels"] == 40_000
    assert exported("llamafactory", tmp_path / "c")[0]["image_max_pixels"] > 768 * 768
    assert (
        "square" in write(plan_in(tmp_path / "d", max_pixels=40_000), "axolotl", tmp_path / "e").dropped["max_pixels"]
    )


@pytest.mark.parametrize("key", FAMILIES)
def test_each_family_has_the_template_that_a_tool_calls_it_by_or_is_refused(key: str, tmp_path: Path) -> None:
    model_type, _, tower = key.partition("+")
    for tool, name in CONFIGS.items():
        plan = plan_in(tmp_path, model_type, tower)
        if tool in ELSEWHERE[key]:
            config = yaml.safe_load(write(plan, tool, tmp_path / "out").files[name])
            said = config.get("chat_template") or config.get("template") or ""
            assert said == ELSEWHERE[key][tool]
        else:
            with pytest.raises(PlanRefused, match="no way to train"):
                write(plan, tool, tmp_path / "out")


def test_a_model_whose_family_is_not_at_hand_is_refused_with_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    plan = plan_in(tmp_path, model={"name": "nobody/not-in-any-cache"})
    with pytest.raises(PlanRefused) as refused:
        write(plan, "llamafactory", tmp_path / "out")
    assert "hf download nobody/not-in-any-cache config.json" in (refused.value.fix or "")


def test_a_thinking_model_keeps_the_template_that_thinks(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, "qwen3_vl")
    thinking = tmp_path / "model-Thinking"
    (tmp_path / "model").rename(thinking)

    plan = msgspec.structs.replace(plan, model=msgspec.structs.replace(plan.model, name=str(thinking)))
    config = yaml.safe_load(write(plan, "llamafactory", tmp_path / "out").files["sft.yaml"])
    assert config["template"] == "qwen3_vl"


def test_names_of_the_plan_are_adapted_in_the_language_model_alone() -> None:
    pattern = language_model_alone(("q_proj", "o_proj"))
    assert re.fullmatch(pattern, "model.language_model.layers.3.self_attn.o_proj")
    assert re.fullmatch(pattern, "model.text_model.layers.3.self_attn.q_proj")
    assert not re.fullmatch(pattern, "model.vision_tower.encoder.layers.3.self_attn.q_proj")


def test_each_tool_with_rows_for_pictures_is_an_exporter() -> None:
    assert {tool for tool in TARGETS if describe(tool).pictures} == set(CONFIGS)
