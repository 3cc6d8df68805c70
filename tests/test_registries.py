"""What is registered is registered whole: something added halfway fails here, by its name and the missing place.

Methods, accelerators, families, exporters and plan fields have tests of their own beside them.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_args

import pytest

from advisor.data import content
from advisor.data.content.examiner import Examiner
from advisor.data.content.registry import EXAMINERS
from advisor.decide.decision import JUDGED
from advisor.report.rules import EFFECT_STYLE
from rules import explain, index, policy
from rules.engine import load_rule_book
from rules.rule import EFFECTS, Effect
from trainers.examples import layouts

TABLES_OF_EFFECTS: dict[str, Any] = {
    "_EFFECT_NAMES in rules/index.py": index._EFFECT_NAMES,
    "_BODY in rules/policy.py": policy._BODY,
    "EFFECT_STYLE in advisor/report/rules.py": EFFECT_STYLE,
    "JUDGED in advisor/decide/decision.py, or else filling": (*JUDGED, "set"),
}


@pytest.mark.parametrize("table", TABLES_OF_EFFECTS)
def test_each_effect_of_a_rule_is_known_to_everyone_who_shows_or_judges_it(table: str) -> None:
    missing = set(EFFECTS) - set(TABLES_OF_EFFECTS[table])
    assert not missing, f"{table} lacks {', '.join(missing)}"
    assert set(TABLES_OF_EFFECTS[table]) == set(EFFECTS) == set(get_args(Effect))


@pytest.mark.parametrize("effect", EFFECTS)
def test_each_effect_of_a_rule_is_put_into_words_and_used(effect: Effect) -> None:
    rules = [rule for rule in load_rule_book().rules if rule.effect == effect]
    assert rules, f"no rule of the book has the effect {effect}"
    assert explain._effect_words(rules[0])


def test_every_module_of_examiners_is_in_the_registry() -> None:
    modules = [import_module(f"{content.__name__}.{module.name}") for module in iter_modules(content.__path__)]
    for module in modules:
        made = [value for value in vars(module).values() if isinstance(value, Examiner)]
        listed = (*made, *getattr(module, "EXAMINERS", ()))
        forgotten = sorted({examiner.code for examiner in listed} - {examiner.code for examiner in EXAMINERS})
        assert not forgotten, f"EXAMINERS in advisor/data/content/registry.py lacks {', '.join(forgotten)}"


def test_every_reader_of_a_layout_is_in_an_entry() -> None:
    source = Path(layouts.__file__).read_text(encoding="utf-8")
    readers = re.findall(r"^def (_read_\w+)\(", source, re.M)
    assert readers
    idle = [name for name in readers if len(re.findall(rf"\b{name}\b", source)) == 1]
    assert not idle, f"LAYOUTS in trainers/examples/layouts.py has no entry for {', '.join(idle)}"
