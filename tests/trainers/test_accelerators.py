"""An accelerator is registered whole: each place that has to know it does, or a message names the place."""

from __future__ import annotations

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
from trainers.accelerators import ACCELERATORS, Accelerator

NAMES: tuple[Accelerator, ...] = get_args(Accelerator)


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
    assert set(facts.ACCELERATORS) == set(NAMES), (
        "ACCELERATORS in rules/facts.py and Accelerator in trainers/accelerators.py differ"
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cuda"])
def test_each_has_a_build_of_torch(name: Accelerator) -> None:
    build = choose_wheel(Hardware(host=Host(), accelerator=name)).build
    assert build and build.startswith(ACCELERATORS[name].build_begins)


def test_no_other_file_lists_accelerators() -> None:
    """Where one is named, it is because that one differs; a list of several is the registry's."""
    root = Path(__file__).parents[2]
    lists = {
        path.relative_to(root).as_posix()
        for folder in ("advisor", "trainers", "rules")
        for path in (root / folder).rglob("*.py")
        if sum(f'"{name}"' in path.read_text(encoding="utf-8") for name in ("rocm", "xpu", "mps")) >= 2
    }
    assert lists == {"trainers/accelerators.py", "rules/facts.py"}
