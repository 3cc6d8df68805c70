"""docs/library-internals.md: each private name exists in the installed library, and none is touched unlisted."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator

import pytest

from tests.docs.places import ROOT, sources

PAGE = ROOT / "docs" / "library-internals.md"
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "_exit"}
"""Public in spite of the underscore: named tuples, and os._exit."""


def rows() -> list[tuple[str, str]]:
    found = re.findall(r"^\| `([\w.]+:[\w.]+)` \| `([\w./]+)` \|", PAGE.read_text(), re.M)
    assert len(found) == PAGE.read_text().count("\n| `")
    return found


def own_names(trees: list[ast.Module]) -> set[str]:
    """Everything that our own source defines: functions, classes, variables, attributes of self."""
    names: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(ast.Name("self" | "cls"), name, ast.Store()):
                names.add(name)
    return names


def touched(tree: ast.Module, own: set[str]) -> Iterator[str]:
    """Private names that a module reads, sets or overrides and that are not ours."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if name not in own:
                yield name
            case ast.Attribute(ast.Call(ast.Name("super")), name):
                yield name
            case ast.Call(ast.Name("getattr" | "hasattr" | "setattr"), [_, ast.Constant(str(name)), *_]):
                yield name


@pytest.mark.parametrize(("name", "place"), rows(), ids=[name for name, _ in rows()])
def test_a_listed_name_exists_in_the_library_and_is_used_where_the_page_says(name: str, place: str) -> None:
    module, _, path = name.partition(":")
    owner: object = importlib.import_module(module)
    *owners, last = path.split(".")
    for part in owners:
        owner = getattr(owner, part)
    # What an __init__ sets is an attribute of the object only.
    assert hasattr(owner, last) or re.search(rf"\b{last}\b", inspect.getsource(owner))  # type: ignore[arg-type]
    used = getattr(owner, last, None) if last.isupper() and isinstance(getattr(owner, last, None), str) else last
    assert str(used) in (ROOT / place).read_text()


def test_no_private_name_of_a_library_is_touched_without_being_listed() -> None:
    trees = {path: ast.parse(path.read_text()) for path in sources()}
    own = own_names(list(trees.values()))
    listed = {(place, name.rpartition(":")[2].rpartition(".")[2]) for name, place in rows()}
    unlisted = {
        (path.relative_to(ROOT).as_posix(), name)
        for path, tree in trees.items()
        for name in touched(tree, own)
        if re.match(r"_[a-zA-Z]", name) and name not in DOCUMENTED
    }
    assert sorted(unlisted - listed) == []
