"""Columns named by the user: `prompt=question,completion=answer`; quotes around a name that holds a comma.

A column is found whatever its case; `answers.text` and `output.0` are places inside one, and `title+body` are two.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping
from typing import Any

from trainers.errors import ExamplesError
from trainers.examples.turns import decoded
from trainers.foreign.text import shell, whole_number
from trainers.language import tr

TARGETS = (
    "messages",
    "prompt",
    "completion",
    "system",
    "history",
    "input",
    "context",
    "reasoning_content",
    "tools",
    "images",
    "text",
    "assistant",
)
"""What a column can be mapped to; `assistant` is no column but the name of the one whose words are learnt."""
SPEAKER = "assistant"
EXAMPLE = "--map prompt=question,completion=answer"
_ALIASES = {
    "问题": "question",
    "提问": "question",
    "回答": "answer",
    "答案": "answer",
    "指令": "instruction",
    "输入": "input",
    "输出": "output",
    "对话": "messages",
    "消息": "messages",
    "文本": "text",
    "系统": "system",
    "历史": "history",
    "質問": "question",
    "指示": "instruction",
    "入力": "input",
    "出力": "output",
    "질문": "question",
    "답변": "answer",
    "frage": "question",
    "antwort": "answer",
    "pregunta": "question",
    "respuesta": "answer",
    "pergunta": "question",
    "resposta": "answer",
    "réponse": "answer",
    "вопрос": "question",
    "ответ": "answer",
    "preferred_output": "chosen",
    "non_preferred_output": "rejected",
    "chosen_response": "chosen",
    "rejected_response": "rejected",
}
"""Names of columns in other languages and tools -> those of the layouts."""
_BESIDE_MESSAGES = frozenset({"messages", "system", "tools", "images"})
_ANSWERED = ("prompt", "completion")


def parse_mapping(text: str) -> dict[str, str]:
    """`prompt=title+body,completion=answer` as {target: column}. Raises ExamplesError for what is none."""
    found: dict[str, str] = {}
    for piece in filter(None, map(str.strip, _pieces(text))):
        target, sign, column = (part.strip() for part in piece.partition("="))
        if not sign or not column:
            raise ExamplesError(
                tr("--map {piece} names no column", piece=piece), why=tr("it is read as TARGET=COLUMN"), fix=EXAMPLE
            )
        if target not in TARGETS:
            raise ExamplesError(
                tr("--map cannot fill {target!r}", target=target),
                why=tr("columns can become {targets}", targets=", ".join(TARGETS)),
                fix=_nearest(target, text),
            )
        found[target] = column
    if problem := misfit(found):
        raise ExamplesError(f"--map {text}: {problem}", why=tr("what is mapped has to be used"), fix=EXAMPLE)
    return found


def _nearest(target: str, text: str) -> str:
    """The whole mapping with the target that was meant, or an example of one."""
    import difflib  # only a wrong input needs it

    close = difflib.get_close_matches(target, TARGETS, n=1)
    return f"--map {shell(text.replace(target, close[0], 1))}" if close else EXAMPLE


def misfit(mapping: Mapping[str, str]) -> str:
    """What is wrong with the targets together; "" where each of them is used."""
    targets = set(columns_in(mapping))
    if "messages" in targets and targets - _BESIDE_MESSAGES:
        return tr(
            "messages hold all that is said; {targets} would not be used",
            targets=", ".join(sorted(targets - _BESIDE_MESSAGES)),
        )
    if "text" in targets and targets != {"text"}:
        return tr("text stands alone; {targets} would not be used", targets=", ".join(sorted(targets - {"text"})))
    if targets and not targets & {"messages", "text"} and not targets.issuperset(_ANSWERED):
        return tr("it needs a prompt and a completion, messages, or text")
    return ""


def as_text(mapping: Mapping[str, str]) -> str:
    """The mapping as `parse_mapping` reads it."""
    pieces = [f"{target}={column}" for target, column in mapping.items()]
    return ",".join(
        f'"{piece.replace(chr(34), chr(34) * 2)}"' if set(piece) & set(',"\r\n') else piece for piece in pieces
    )


def as_flag(mapping: Mapping[str, str]) -> str:
    """The mapping as a flag to paste into a shell."""
    return f"--map {shell(as_text(mapping))}"


def pasted(text: str) -> str:
    """The mapping inside a text that was pasted from a flag, without the quotes that a shell takes away."""
    try:
        return " ".join(shlex.split(text))
    except ValueError:
        return text


def mapped(row: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The row with the mapped columns alone, under their targets. Several joined by + become one text."""
    return {target: _value(row, column) for target, column in columns_in(mapping).items()}


def sources(mapping: Mapping[str, str]) -> dict[str, str]:
    """First part of each mapped column's path, folded -> target."""
    return {
        folded(place.partition(".")[0]): target
        for target, column in columns_in(mapping).items()
        for place in columns_of(column)
    }


def columns_in(mapping: Mapping[str, str]) -> dict[str, str]:
    """The columns of a mapping, without the name of a speaker."""
    return {target: column for target, column in mapping.items() if target != SPEAKER}


def columns_of(column: str) -> list[str]:
    """The columns that a mapped one joins: `title+body` are two."""
    return [name.strip() for name in column.split("+") if name.strip()] or [column]


def holds(row: Mapping[str, Any], place: str) -> bool:
    """Whether a row has this column, or the one that the place is in."""
    return place in row or _key(row, place) is not None or _key(row, place.partition(".")[0]) is not None


def folded(name: str) -> str:
    """A column's name as it is compared: in lower case and English, without the marks and blanks around it."""
    plain = name.strip().strip("\ufeff\"'").lower().replace(" ", "_").replace("-", "_")
    return _ALIASES.get(plain, plain)


def _pieces(text: str) -> list[str]:
    """What stands between commas and line ends. Raises ExamplesError for quotes that do not close."""
    try:
        return [piece for line in csv.reader(io.StringIO(text, newline=""), skipinitialspace=True) for piece in line]
    except csv.Error as error:
        raise ExamplesError(tr("--map cannot be read: {error}", error=error), fix=EXAMPLE) from error


def _value(row: Mapping[str, Any], column: str) -> Any:
    names = [column] if column in row else columns_of(column)
    if len(names) == 1:
        return _at(row, names[0])
    texts = [_at(row, name) for name in names]
    return "\n\n".join(str(text) for text in texts if text not in (None, ""))


def _key(row: Mapping[str, Any], name: str) -> Any:
    """The key of a column, whatever its case; None where there is none."""
    if name in row:
        return name
    wanted = folded(name)
    return next((key for key in row if isinstance(key, str) and folded(key) == wanted), None)


def _at(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or of a place inside it (`answers.text`, `output.0`); None where there is none."""
    whole = _key(row, path)
    if whole is not None:
        return row[whole]
    value: Any = row
    for depth, name in enumerate(path.split(".")):
        value = decoded(value)
        if isinstance(value, Mapping):
            key = _key(value, name) if not depth else name
            value = value.get(key)
        elif isinstance(value, list) and (place := whole_number(name)) is not None and place < len(value):
            value = value[place]
        else:
            return None
    return value
