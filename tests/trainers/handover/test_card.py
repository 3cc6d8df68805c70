"""The code of a model card can be pasted: it parses, and everything that it imports is where it says."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec

import pytest

from tests.trainers.plans import full_plan, of_method
from trainers.handover import card
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
