"""The scenario format: read, refused with reasons, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

import rules
from rules.engine import RuleBook, RuleError
from rules.scenario import Answered, differences, load_scenario

GOOD = """name = "T01"
title = "A test"

[answers]
model = "Qwen3-8B"
hardware = "1x RTX 4090"
data.examples = 5000

[facts]
env.flash_attention = true

[expect]
method = "lora"
accept = ["qlora"]
fired = ["R11", "DEP-32"]
not_fired = ["HW-01"]

[expect.settings]
lora_rank = 16
learning_rate = { min = 1e-4, max = 4e-4 }
optimizer = { one_of = ["adamw_8bit"] }
lora_targets = { contains = "all-linear" }
"""
SETTINGS = {"lora_rank": 16, "learning_rate": 2e-4, "optimizer": "adamw_8bit", "lora_targets": ("all-linear",)}
AGREES = Answered(verdict="recommended", method="lora", settings=SETTINGS, fired={"HW-08", "DEP-32"})


def scenario(folder: Path, text: str = GOOD) -> Path:
    path = folder / "T01.toml"
    path.write_text(text)
    return path


def test_dotted_keys_are_answers(tmp_path: Path) -> None:
    read = load_scenario(scenario(tmp_path))
    assert read.answers == {"model": "Qwen3-8B", "hardware": "1x RTX 4090", "data.examples": 5000}
    assert read.facts == {"env.flash_attention": True}
    assert read.expect.verdict == "recommended"


def test_agreement_counts_a_row_of_the_evidence_as_its_rules(tmp_path: Path, book: RuleBook) -> None:
    assert differences(load_scenario(scenario(tmp_path)), AGREES, book) == ()


def test_every_difference_is_said(tmp_path: Path, book: RuleBook) -> None:
    answered = Answered(
        verdict="nothing_fits",
        method="lora",
        settings={"lora_rank": 8, "learning_rate": 1e-3, "optimizer": "sgd", "lora_targets": ("q_proj",)},
        fired={"HW-01"},
    )
    found = "\n".join(differences(load_scenario(scenario(tmp_path)), answered, book))
    for words in (
        "verdict",
        "lora_rank is 8",
        "max 0.0004",
        "one of",
        "contains",
        "R11 did not",
        "DEP-32 did",
        "HW-01 fired",
    ):
        assert words in found


def test_two_numbers_are_a_range(tmp_path: Path, book: RuleBook) -> None:
    text = GOOD.replace("{ min = 1e-4, max = 4e-4 }", "[1e-4, 4e-4]").replace("lora_rank = 16", "lora_rank = [8, 32]")
    assert differences(load_scenario(scenario(tmp_path, text)), AGREES, book) == ()
    text = text.replace("[8, 32]", "[32, 64]")
    assert differences(load_scenario(scenario(tmp_path, text)), AGREES, book) == (
        "lora_rank is 16, expected min 32 and max 64",
    )


def test_the_example_of_the_readme_is_a_scenario(tmp_path: Path, book: RuleBook) -> None:
    readme = (Path(rules.__file__).parent / "README.md").read_text(encoding="utf-8")
    example = next(block for block in readme.split("```toml") if block.lstrip().startswith("name = "))
    read = load_scenario(scenario(tmp_path, example.partition("```")[0]))
    assert read.expect.method == "lora"


def test_another_accepted_method_is_not_held_to_the_settings(tmp_path: Path, book: RuleBook) -> None:
    answered = Answered(verdict="recommended", method="qlora", settings={}, fired={"HW-08", "DEP-32"})
    assert differences(load_scenario(scenario(tmp_path)), answered, book) == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("data.examples = 5000", "data.exampels = 5000", "Did you mean 'data.examples'"),
        ("data.examples = 5000", 'data.examples = "many"', "int is needed"),
        ('method = "lora"', 'method = "lroa"', "Did you mean 'lora'"),
        ("lora_rank = 16", "lora_rnak = 16", "Did you mean 'lora_rank'"),
        ("min = 1e-4", "low = 1e-4", "min, max"),
        ("[expect]", "[expects]", "expect"),
        ("[answers]", "[answers", "TOML"),
        ("data.examples = 5000", f"data.examples = {'9' * 5000}", "digits"),
        ("data.examples = 5000", f"data.examples = {'[' * 3000}", "not valid TOML"),
    ],
)
def test_a_broken_scenario_is_refused_with_a_reason(old: str, new: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="T01") as caught:
        load_scenario(scenario(tmp_path, GOOD.replace(old, new, 1)))
    assert words in str(caught.value)


def test_a_scenario_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="cannot read"):
        load_scenario(tmp_path / "none.toml")
