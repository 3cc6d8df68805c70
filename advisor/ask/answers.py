"""Answers: what is known of a request, with the origin of every value.

Every door (flags, answers file, wizard, a test) hands its raw values to `resolve`, which parses and checks them in
one place and reports everything that is wrong at once.

    answers = resolve(Layer("flag", {"task.count": "3"}), read_file(Path("answers.toml")))
    answers.values["task.count"]      # 3
    answers.origins["task.count"]     # "flag"
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from advisor.ask import amounts
from advisor.ask.question import Measured, Origin, Question, Values
from advisor.ask.questions import BY_KEY, QUESTIONS
from advisor.base.errors import InputError, Problem, nearest
from advisor.base.language import tr
from trainers.foreign.files import read_small_file
from trainers.foreign.text import brief, shell

ANSWERS_SCHEMA = "sft-advisor/answers/v1"
EXPLICIT: frozenset[Origin] = frozenset({"flag", "file", "prompt"})
UNIT_BYTES = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGTP", start=1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGTP", start=1)},
}
TRUE = ("true", "yes", "y", "1", "on")
FALSE = ("false", "no", "n", "0", "off")
MAX_FILE_BYTES = 1 << 20


class Layer(msgspec.Struct, frozen=True):
    """Raw values of one door, by dotted key. `place` says where, for messages: a file's name, or nothing."""

    origin: Origin
    raw: Mapping[str, Any]
    place: str = ""


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """Values by dotted key (an unknown one is absent) and the origin of each."""

    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` when it is not known."""
        return self.values.get(key, default)

    @property
    def explicit(self) -> dict[str, Any]:
        """What a person gave, without defaults and measurements."""
        return {key: value for key, value in self.values.items() if self.origins[key] in EXPLICIT}


def resolve(*layers: Layer, measured: Measured | None = None) -> Answers:
    """Answers from layers in order of precedence, completed by defaults from `measured`.

    Raises InputError listing every unknown key, unusable value and missing required answer of all layers.
    """
    given, problems = parse(*layers)
    problems += missing(layers)
    if problems:
        raise InputError(*problems)
    return complete(given, measured or Measured())


def parse(*layers: Layer) -> tuple[Answers, list[Problem]]:
    """What the layers hold, the first layer winning, and every problem; no defaults yet."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    problems: list[Problem] = []
    for layer in layers:
        for key, raw in layer.raw.items():
            question = BY_KEY.get(key)
            if question is None:
                problems.append(_unknown_key(key, layer))
                continue
            try:
                value = parse_value(question, raw)
            except ValueError as error:
                problems.append(_bad_value(question, raw, str(error), layer))
                continue
            if key not in values:
                values[key], origins[key] = value, layer.origin
    given = Answers(values=values, origins=origins)
    return given, problems + _contradictions(given)


def _contradictions(given: Answers) -> list[Problem]:
    """A problem where a part is said to be more than the whole."""
    stated = {key: given.get(key) for key in ("data.completion_tokens", "data.total_tokens")}
    part, whole = stated.values()
    if part is None or whole is None or part <= whole:
        return []
    more, less = (f"{spelling(key, given.origins[key])} {value}" for key, value in stated.items())
    return [
        Problem(
            what=tr("{more} is more than {less}", more=more, less=less),
            why=tr("the answers are a part of the examples"),
            fix=tr("leave one of the two out, or count both over the same examples"),
        )
    ]


def missing(layers: Sequence[Layer]) -> list[Problem]:
    """A problem for each required question that no layer answers; a wrong answer is a problem already."""
    return [
        Problem(
            what=tr("{key} is not given", key=question.key),
            why=question.why,
            fix=f"{question.flag} {shell(question.example)}",
        )
        for question in QUESTIONS
        if question.required and not any(question.key in layer.raw for layer in layers)
    ]


def complete(given: Answers, measured: Measured) -> Answers:
    """`given` with defaults filled in.

    A flag or a file always counts. What was answered at a prompt gives way to the default when a later change of
    another answer made its question pointless.
    """
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for question in QUESTIONS:
        key = question.key
        if key in given.values and (given.origins[key] != "prompt" or question.applies(values)):
            values[key], origins[key] = given.values[key], given.origins[key]
        elif (proposal := question.proposal(values, measured)) is not None:
            values[key], origins[key] = proposal.value, proposal.origin
    return Answers(values=values, origins=origins)


def parse_value(question: Question, raw: Any) -> Any:
    """The typed value of one raw answer (text from a flag or prompt, or a TOML value). Raises ValueError: why not."""
    match question.kind:
        case "text" | "path":
            return _parse_text(raw)
        case "choice":
            return _parse_choice(question, raw)
        case "bool":
            return _parse_bool(raw)
        case "int":
            return _in_range(question, amounts.count(raw))
        case "length":
            return _in_range(question, amounts.length(raw))
        case "size":
            return _in_range(question, _parse_size(raw))


def _parse_text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError(tr("text is expected, this is {type_name}", type_name=_type_name(raw)))
    text = raw.strip()
    if not text:
        raise ValueError(tr("it is empty"))
    if not text.isprintable():
        raise ValueError(tr("it holds characters that cannot be printed"))
    return text


def _parse_choice(question: Question, raw: Any) -> str:
    text = _parse_text(raw).lower().replace("-", "_")
    for name in question.choices:
        if text == name.lower():
            return name
    close = nearest(text, question.choices)
    hint = tr("; did you mean {close}?", close=close) if close else ""
    raise ValueError(tr("allowed are {choices}{hint}", choices=", ".join(question.choices), hint=hint))


def _parse_bool(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    text = raw.strip().lower() if isinstance(raw, str) else ""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(tr("yes or no is expected"))


def _parse_size(raw: Any) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kmgtp]?i?b)", raw.strip(), re.IGNORECASE)
        if match and match[2].upper() in UNIT_BYTES:
            return int(float(match[1]) * UNIT_BYTES[match[2].upper()])
        if re.fullmatch(r"[\d.]+", raw.strip()):
            raise ValueError(tr("it has no unit; write {raw}GiB", raw=raw.strip()))
    raise ValueError(tr("a size with its unit is expected, such as 500GiB or 2TB"))


def _in_range(question: Question, number: int) -> int:
    if question.low is not None and number < question.low:
        raise ValueError(tr("the smallest possible value is {low}", low=question.low))
    if question.high is not None and number > question.high:
        raise ValueError(tr("the largest possible value is {high}", high=question.high))
    return number


def _type_name(raw: Any) -> str:
    names = {
        bool: tr("true or false"),
        int: tr("a number"),
        float: tr("a number"),
        list: tr("a list"),
        dict: tr("a table"),
    }
    return names.get(type(raw), type(raw).__name__)


def _bad_value(question: Question, raw: Any, why: str, layer: Layer) -> Problem:
    shown = repr(raw) if len(repr(raw)) <= 60 else repr(raw)[:57] + "..."
    return Problem(
        what=tr("{spelling} cannot be {shown}", spelling=spelling(question.key, layer.origin), shown=shown),
        why=why,
        fix=_fix(question, layer.origin, nearest(str(raw), question.choices)),
        where=layer.place,
    )


def _fix(question: Question, origin: Origin, close: str | None) -> str:
    """The same with a value that can be: the nearest choice, else an example."""
    value = close or question.example or next(iter(question.choices), "") or {"bool": "yes"}.get(question.kind, "")
    if not value:
        value = str(question.default if question.default is not None else question.low)
    if origin == "file":
        quoted = value if question.kind in ("int", "length") else {"bool": "true"}.get(question.kind, f'"{value}"')
        return f"{spelling(question.key, origin)} = {quoted}"
    return f"{question.flag} {shell(value)}"


def _unknown_key(key: str, layer: Layer) -> Problem:
    close = nearest(key, BY_KEY)
    return Problem(
        what=tr("{spelling} is not a question", spelling=spelling(key, layer.origin)),
        why=tr("no answer with that name exists"),
        fix=tr("did you mean {spelling}?", spelling=spelling(close, layer.origin))
        if close
        else tr("sft-advisor --help lists all of them"),
        where=layer.place,
    )


def spelling(key: str, origin: Origin) -> str:
    """A key as its door writes it: `--task-count`, or `[task] count` in a file."""
    if origin == "file":
        table, dot, name = key.rpartition(".")
        return f"[{table}] {name}" if dot else name
    return "--" + key.replace(".", "-").replace("_", "-")


def read_file(path: Path) -> Layer:
    """The raw layer of an answers file. Raises InputError when it cannot be read or is not a TOML table."""
    try:
        content = read_small_file(path, MAX_FILE_BYTES, pipes=True)
    except OSError as error:
        raise InputError(_bad_file(path, error.strerror or str(error))) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            _bad_file(path, tr("byte {start} is not UTF-8; save it as UTF-8", start=error.start))
        ) from error
    if not text.strip():
        raise InputError(_bad_file(path, tr("it is empty")))
    import tomllib

    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise InputError(_bad_file(path, tr("it is nested too deeply"))) from error
    except ValueError as error:  # of which TOMLDecodeError is one, and a number of thousands of digits another
        raise InputError(_bad_file(path, tr("it is not valid TOML: {error}", error=error))) from error
    schema = table.pop("schema", ANSWERS_SCHEMA)
    if schema != ANSWERS_SCHEMA:
        raise InputError(
            _bad_file(
                path,
                tr(
                    "its schema is {brief}, this version reads {answers_schema!r}",
                    brief=brief(schema),
                    answers_schema=ANSWERS_SCHEMA,
                ),
            )
        )
    return Layer("file", dict(_flatten(table)), str(path))


def _bad_file(path: Path, why: str) -> Problem:
    return Problem(
        what=tr("the answers file {path} cannot be used", path=path),
        why=why,
        fix=tr("the wizard writes a good one: sft-advisor --save-answers answers.toml"),
        where=str(path),
    )


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    tables = {key.partition(".")[0] for key in BY_KEY if "." in key}
    for name, value in table.items():
        if isinstance(value, dict) and not prefix and (name in tables or value):
            yield from _flatten(value, f"{name}.")
        else:
            yield prefix + name, value


def to_toml(values: Values) -> str:
    """Answers as the text of an answers file, in the order of the table."""
    import tomli_w

    document: dict[str, Any] = {"schema": ANSWERS_SCHEMA}
    for key in _ordered(values):
        table, dot, name = key.rpartition(".")
        if dot:
            document.setdefault(table, {})[name] = values[key]
        else:
            document[name] = values[key]
    return tomli_w.dumps(document)


def _ordered(values: Values) -> Iterable[str]:
    return [question.key for question in QUESTIONS if question.key in values]
