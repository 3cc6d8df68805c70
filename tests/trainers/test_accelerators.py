"""An accelerator is registered whole: each place that has to know it does, or a message names the place."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

from advisor.base.errors import InputError
from advisor.probe.catalogue import cards
from advisor.probe.describe import hardware_from_text
from advisor.probe.hardware import Hardware, Host
from advisor.probe.places.refusals import unsupported
from advisor.probe.wheels import choose_wheel
from rules import facts
from rules.engine import load_rule_book
from trainers.accelerators import ACCELERATORS, Accelerator

NAMES: tuple[Accelerator, ...] = get_args(Accelerator)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_maker_s_cards_are_found_and_known(name: Accelerator) -> None:
    row = ACCELERATORS[name]
    if row.vendor is None:
        return
    assert find_spec(f"advisor.probe.{row.vendor}"), f"advisor/probe/{row.vendor}.py is missing: how cards are found"
    known = [card for card in cards() if card.vendor == row.vendor]
    assert known, f"advisor/probe/gpus.toml has no card of {row.vendor}"
    try:
        described = hardware_from_text(f"{known[-1].label} 64GB" if known[-1].unified else known[-1].label)
    except InputError as refused:
        pytest.fail(f"{refused}; what is refused by name stands in advisor/probe/places/refusals.py")
    assert described.accelerator == name
    refusal = unsupported("gaudi 2")
    assert refusal is not None
    assert row.platform, f"the row of {name} in ACCELERATORS does not say for what platform its kernels are written"
    assert f"{row.maker} ({row.platform})" in refusal.fix


def test_rules_know_the_accelerators_and_no_others() -> None:
    known, named = set(facts.ACCELERATORS), set(NAMES)
    assert named <= known, f"ACCELERATORS in rules/facts.py lacks {named - known}"
    assert known <= named, f"Accelerator in trainers/accelerators.py lacks {known - named}"


@pytest.mark.parametrize("name", NAMES)
def test_rules_speak_of_each(name: Accelerator) -> None:
    conditions = [rule.when for rule in load_rule_book().rules]
    assert any(f'"{name}"' in when for when in conditions), (
        f"no rule of rules/book speaks of {name}: at least of what its kernels cannot do"
    )


@pytest.mark.parametrize("vendor", sorted({row.vendor for row in ACCELERATORS.values() if row.vendor}))
def test_each_maker_s_probe_is_tried(vendor: str) -> None:
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests/probe").glob("test_*.py")]
    named = re.compile(rf"advisor\.probe\.{vendor}\b|from advisor\.probe import [^\n]*\b{vendor}\b")
    assert any(named.search(test) for test in tests), (
        f"no test below tests/probe reads files of a machine by advisor/probe/{vendor}.py"
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cuda"])
def test_each_has_a_build_of_torch(name: Accelerator) -> None:
    build = choose_wheel(Hardware(host=Host(), accelerator=name)).build
    assert build and build.startswith(ACCELERATORS[name].build_begins)


def test_no_other_file_lists_accelerators() -> None:
    """Where one is named, it is because that one differs; a list of several is the registry's."""
    lists = {
        path.relative_to(ROOT).as_posix()
        for folder in ("advisor", "trainers", "rules")
        for path in (ROOT / folder).rglob("*.py")
        if sum(f'"{name}"' in path.read_text(encoding="utf-8") for name in ("rocm", "xpu", "mps")) >= 2
    }
    assert lists == {"trainers/accelerators.py", "rules/facts.py"}
