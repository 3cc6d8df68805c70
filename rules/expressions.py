"""CEL: compile, check and evaluate the expressions of rules against the vocabulary of facts.py.

Every fact `a.b` is a typed variable; `known.a.b` beside it is true when the fact is known. Three outcomes: a value,
or an error because a fact is missing (unknown), and never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

import msgspec
from cel_expr_python import cel
from cel_expr_python.ext import ext_math

from rules.errors import did_you_mean
from rules.facts import BY_PATH, FACTS

CEL_TYPES = {
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "bool": cel.Type.BOOL,
    "string": cel.Type.STRING,
    "list": cel.Type.List(cel.Type.STRING),
}
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_PATH = re.compile(r"(?<![\w.])(known\.)?([a-z]+\.[a-z_0-9]+)")
_COMPARED = re.compile(r"(?<![\w.])([a-z]+\.[a-z_0-9]+)\s*(?:==|!=|in)\s*(\[[^\]]*\]|\"[^\"]*\"|'[^']*')")
_LITERAL = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
_COMPILE_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_MACRO_OR_BRACKET = re.compile(r"\.\s*(?:(?P<map>map)|all|exists|exists_one|existsOne|filter)\s*\(|[()+]")
MAX_EXPRESSION_CHARS = 4000
MAX_MACRO_DEPTH = 2


class Fault(msgspec.Struct, frozen=True):
    """Why an expression is refused: a sentence, and the 1-based column in its text."""

    what: str
    fix: str = ""
    column: int | None = None


class Value(msgspec.Struct, frozen=True):
    """Outcome of an evaluation: a plain value, or an error that is not a missing fact."""

    known: bool
    value: Any = None
    error: str = ""


def new_environment() -> Any:
    """The CEL environment: every fact, every `known.` companion and the math functions. About 1 ms."""
    variables = {fact.path: CEL_TYPES[fact.type] for fact in FACTS}
    variables |= {f"known.{fact.path}": cel.Type.BOOL for fact in FACTS}
    return cel.NewEnv(variables=variables, extensions=[ext_math.ExtMath()])


def facts_of(text: str) -> tuple[str, ...]:
    """Facts that an expression reads for their value, in order of appearance."""
    return _paths(text, companions=False)


def facts_named(text: str) -> tuple[str, ...]:
    """Facts that an expression mentions, those inside `known.` included."""
    return _paths(text, companions=True)


def _paths(text: str, *, companions: bool) -> tuple[str, ...]:
    matches = _PATH.finditer(_STRING.sub('""', text))
    paths = (match[2] for match in matches if companions or not match[1])
    return tuple(dict.fromkeys(path for path in paths if path in BY_PATH))


def compile_checked(env: Any, text: str, wanted: str) -> tuple[bytes | None, tuple[Fault, ...]]:
    """The serialised expression, or the reasons why it is refused. `wanted` is a fact type, or "any"."""
    if len(text) > MAX_EXPRESSION_CHARS:
        return None, (Fault(f"the expression has {len(text)} characters", "Split it into several rules."),)
    if re.search(r"\bhas\s*\(", text):
        return None, (Fault("has() does not work on facts", "Write known.a.b to ask whether a fact is known."),)
    if growth := _growth_fault(text):
        return None, (growth,)
    try:
        expression = env.compile(text)
    except RuntimeError as error:
        return None, _faults(str(error))
    faults = (*_type_faults(expression.return_type(), wanted), *_choice_faults(text))
    return (None, faults) if faults else (expression.serialize(), ())


def _growth_fault(text: str) -> Fault | None:
    """What lets a value grow by a factor at each step: CEL bounds how often a loop runs, not what it builds."""
    plain = _STRING.sub('""', text)
    depth, deepest, added = 0, 0, False
    closes: list[bool] = []
    for match in _MACRO_OR_BRACKET.finditer(plain):
        token = match[0]
        if token == ")":
            depth -= closes.pop() if closes else 0
        elif token == "+":
            added = added or depth > 1
        else:
            closes.append(len(token) > 1)
            depth += len(token) > 1
            deepest = max(deepest, depth)
        if match["map"]:
            return Fault("map() is not for rules: it can build values without end", "Use filter, exists or all.")
    if deepest > MAX_MACRO_DEPTH or added:
        return Fault(
            f"loops stand more than {MAX_MACRO_DEPTH} deep, or a loop in a loop adds values up",
            "Take it apart into several rules; one loop is enough for any of the book.",
        )
    return None


def _faults(message: str) -> tuple[Fault, ...]:
    faults = []
    for line, column, what in _COMPILE_ERROR.findall(message):
        name = _UNDECLARED.search(what)
        fix = ""
        if name:
            what = f"no fact is called {name[1]!r}"
            fix = did_you_mean(name[1], BY_PATH, "`sft-advisor explain facts` lists them.")
        place = int(column) if line == "1" else None
        faults.append(Fault(what.replace(" (in container '')", ""), fix, place))
    return tuple(faults) or (Fault(message.splitlines()[0]),)


def _type_faults(found: Any, wanted: str) -> tuple[Fault, ...]:
    accepted = {"any": (), "double": ("DOUBLE", "INT"), "list": ("LIST<STRING>", "LIST<DYN>")}
    names = accepted.get(wanted, (wanted.upper(),))
    if not names or str(found) in (*names, "DYN"):
        return ()
    return (Fault(f"the expression gives {found}, but {names[0]} is needed"),)


def _choice_faults(text: str) -> tuple[Fault, ...]:
    """A comparison with a text that the fact can never have: CEL accepts it, and it would never fire."""
    faults = []
    for match in _COMPARED.finditer(text):
        fact = BY_PATH.get(match[1])
        if fact is None or not fact.choices:
            continue
        for double, single in _LITERAL.findall(match[2]):
            literal = double or single
            if literal not in fact.choices:
                fix = did_you_mean(literal, fact.choices, f"It can be {', '.join(fact.choices)}.")
                faults.append(Fault(f"{fact.path} is never {literal!r}", fix, match.start() + 1))
    return tuple(faults)


_ABSENT: dict[str, Any] = dict.fromkeys(BY_PATH)
_LISTS = tuple(path for path, fact in BY_PATH.items() if fact.type == "list")
_DOUBLES = frozenset(path for path, fact in BY_PATH.items() if fact.type == "double")


class View:
    """Facts as the expressions see them."""

    __slots__ = ("env", "facts")

    def __init__(self, env: Any, facts: Mapping[str, Any]) -> None:
        self.env = env
        self.facts: dict[str, Any] = {**_ABSENT, **facts}
        """Every fact of the vocabulary, None where it is not known; lists as tuples, so that all can be hashed."""
        for path in _LISTS:
            if self.facts[path] is not None:
                self.facts[path] = tuple(self.facts[path])

    def learn(self, values: Mapping[str, Any]) -> None:
        """These facts are known from now on."""
        self.facts |= values
        for path in _LISTS:
            if path in values:
                self.facts[path] = tuple(values[path])

    def activation(self, paths: Iterable[str]) -> Any:
        """The CEL variables of these facts; those that are None are left out, never zero, never false."""
        data: dict[str, Any] = {}
        for path in paths:
            value = self.facts[path]
            data[f"known.{path}"] = value is not None
            if value is not None:
                data[path] = _plain(path, value)
        return self.env.Activation(data)


def _plain(path: str, value: Any) -> Any:
    if path in _DOUBLES:
        return float(value)
    return list(value) if isinstance(value, tuple) else value


def reader(paths: tuple[str, ...]) -> Callable[[dict[str, Any]], Any]:
    """A function that reads these facts of a View at once: what everything that depends on only them depends on."""
    return itemgetter(*paths) if paths else _nothing


def _nothing(facts: dict[str, Any]) -> None:
    """The facts that an expression without facts reads."""


def evaluate(expression: Any, view: View, paths: Iterable[str]) -> Value:
    """Evaluate a compiled expression; a missing fact or an arithmetic error gives `known = False`."""
    try:
        result = expression.eval(view.activation(paths))
    except (RuntimeError, MemoryError) as error:  # CEL's budget: a rule from outside can ask for too much
        return Value(False, error=str(error))
    value = result.plain_value()
    if isinstance(value, str) and result.type().name() == "ERROR":
        return Value(False, error="" if "found in Activation" in value else value)
    return Value(True, value)
