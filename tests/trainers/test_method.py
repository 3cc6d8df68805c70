"""A method is registered whole: each place that has to know it does, or a message names the place."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

import rules
import trainers
from advisor.model.params import TRAINED
from rules import facts
from rules.engine import load_rule_book
from trainers.method import METHODS, Method
from trainers.plan import TrainingPlan

NAMES: tuple[Method, ...] = get_args(Method)


@pytest.mark.parametrize("method", NAMES)
def test_a_method_has_its_module_its_count_and_its_page(method: Method) -> None:
    module = Path(trainers.__file__).parent / "methods" / f"{method}.py"
    assert module.is_file(), f"trainers/methods/{method}.py is missing: how {method} is trained"
    assert method in TRAINED, f"TRAINED in advisor/model/params.py has no row for {method}: what it trains, counted"
    pages = Path(rules.__file__).parent / "methods"
    for folder in (pages, *(each for each in pages.iterdir() if each.is_dir())):
        page = folder.relative_to(pages.parents[1]) / f"{method}.md"
        assert (folder / page.name).is_file(), f"{page} is missing: the page of sft-advisor explain {method}"


def test_rules_know_the_methods_and_no_others() -> None:
    assert set(facts.METHODS) == set(NAMES), "METHODS in rules/facts.py and Method in trainers/method.py differ"
    assert set(TRAINED) == set(NAMES), "TRAINED in advisor/model/params.py counts a method that is not there"


@pytest.mark.parametrize("method", NAMES)
def test_a_rule_sets_the_learning_rate_of_each_method(method: Method) -> None:
    values, _ = load_rule_book().fill({"plan.method": method, "machine.accelerator": "cuda"}, fixed=())
    assert values.get("learning_rate"), f"no rule of rules/book/hyperparameters sets lr_for_model for {method}"


@pytest.mark.parametrize("method", METHODS)
def test_a_row_names_fields_and_methods_that_exist(method: Method) -> None:
    row = METHODS[method]
    assert set(row.needs) <= set(TrainingPlan.__struct_fields__)
    chain = [method]
    while (following := METHODS[chain[-1]].next_in_need) is not None:
        assert following not in chain, f"{' -> '.join([*chain, following])} never ends"
        chain.append(following)
