"""Words that are no command lead to the one that was meant, in whatever group it stands, and what is said runs."""

from __future__ import annotations

import re
import shlex

import pytest

from advisor.commands import find
from advisor.commands.meant import two_words

MEANT = {
    "doctor vett plan.toml": "doctor vet plan.toml",
    "vett plan.toml": "doctor vet plan.toml",
    "data vet plan.toml": "doctor vet plan.toml",
    "preflght plan.toml": "launch preflight plan.toml",
    "launch preflght plan.toml": "launch preflight plan.toml",
    "runs preflight plan.toml": "launch preflight plan.toml",
    "runs reume there": "runs resume there",
    "run watch there": "runs watch there",
    "compare a b": "runs compare a b",
    "train multitsk there a=plan.toml": "train multitask there a=plan.toml",
    "rules schma plan": "rules schema plan",
    "models --family qwen3": "probe models --family qwen3",
    "lora --model Qwen3-8B": "train lora --model Qwen3-8B",
    "explian lora": "explain lora",
    "versio": "--version",
}


@pytest.mark.parametrize("typed", MEANT)
def test_a_typo_leads_to_its_command_with_the_rest_of_the_line(run, typed: str) -> None:
    code, out, err = run(*typed.split())
    assert (code, out) == (2, "")
    assert err.rstrip().endswith(f"did you mean: sft-advisor {MEANT[typed]}")


@pytest.mark.parametrize("name", ["check", "list", "report"])
def test_a_word_of_several_commands_names_each(run, name: str) -> None:
    said = run(name, "x")[2].partition("did you mean: ")[2].strip()
    lines = [each.strip() for each in said.split("   or   ")]
    assert {tuple(shlex.split(line)[1:3]) for line in lines} == {pair for pair in two_words() if pair[1] == name}


@pytest.mark.parametrize(("command", "word"), [pair for pair in two_words() if not find([pair[1]])])
def test_each_word_alone_leads_to_its_command(run, command: str, word: str) -> None:
    assert f"sft-advisor {command} {word}" in run(word)[2]


@pytest.mark.parametrize("typed", ["zzz", "doctor zzz", "launch zzz.toml", "runs zzz"])
def test_what_is_like_nothing_gets_no_far_fetched_name(run, typed: str) -> None:
    code, _, err = run(*typed.split())
    assert (code, "did you mean" in err) == (2, False)


def test_what_may_be_said_of_a_command_holds_the_words_under_it(run) -> None:
    said = run("runs", "zzz")[2]
    assert {"resume", "merge", "watch"} <= set(re.findall(r"\w+", said))


def test_a_file_called_like_a_command_is_a_file(run, tmp_path) -> None:
    (tmp_path / "watch").write_text("", encoding="utf-8")
    assert "did you mean" not in run("launch", "watch")[2]
    assert "did you mean: sft-advisor runs watch" in run("launch", "wotch")[2]
