"""Imports run one way, those for the type checker alone included (the linter's contracts leave these out)."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def imports() -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    graph = grimp.build_graph("advisor", "rules", "trainers", cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in sorted(graph.modules)}


def test_no_file_is_reached_from_what_it_imports() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
