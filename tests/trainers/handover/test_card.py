"""The code of a model card can be pasted: it parses, and everything that it imports is where it says."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from advisor.base import language
from tests.trainers.plans import full_plan, of_method
from trainers.handover import card
from trainers.handover.serving import commands
from trainers.method import METHODS, Method


@pytest.mark.parametrize("method", METHODS)
def test_what_a_card_s_code_imports_is_there(method: Method) -> None:
    plan = full_plan(**of_method(method))
    code = ast.parse(card._code(plan, "org/base", "org/tuned", plan.trains_adapter))
    imports = [node for node in ast.walk(code) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = import_module(str(node.module))
        for name in node.names:
            submodule = find_spec(f"{node.module}.{name.name}") if hasattr(module, "__path__") else None
            assert hasattr(module, name.name) or submodule, f"from {node.module} import {name.name}"


def test_a_card_speaks_the_language_in_use_around_what_machines_read(tmp_path: Path) -> None:
    plan = full_plan()
    record = {"evaluation": {"base": {"loss": 3.0}, "tuned": {"loss": 2.0}}, "data": {"train_examples": 9}}
    language.use("zh_CN")
    try:
        served = commands(plan, tmp_path, base="org/base", name="support")
        said = card.model_card(plan, record, folder=tmp_path, base="org/base", name="support", served=served)
    finally:
        language.use("en")
    for part in (
        "## 用法",
        "## 结果",
        "训练前 3，训练后 2",
        "| 训练样本 | 9 |",
        "base_model: org/base",
        "learning_rate",
    ):
        assert part in said
    for english in ("## Use", "## Results", "before", "training examples"):
        assert english not in said
