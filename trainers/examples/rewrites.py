"""Rows that no mapping can say, and the command (jq) that writes rows out of them which are read as they are."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from trainers.examples import logged
from trainers.examples.conversation import listed
from trainers.examples.mapping import folded
from trainers.examples.proposals import many_answers
from trainers.examples.turn_columns import TURN_COLUMNS
from trainers.examples.turns import ROLE_KEYS, ROLES, decoded
from trainers.foreign.text import shell
from trainers.language import tr

Row = dict[str, Any]
_SPANS = {
    "spans": ".spans[]",
    "resourceSpans": ".resourceSpans[].scopeSpans[].spans[]",
    "resource_spans": ".resource_spans[].scope_spans[].spans[]",
}
"""Columns that hold the spans of a trace -> where jq finds each of them."""
_OF_CALLS = frozenset({"attributes", "input", "inputs", "span_id", "spanId", "scopeSpans", "scope_spans"})
_TAGS = frozenset({"tag", "tags", "label", "labels"})
_SCORES = ("score", "scores", "rating", "ratings", "reward", "rewards", "overall_score", "rank_score")
_SAID = ("text", "content", "response", "answer", "completion", "output", "body", "Body")


_JSON = (".json", ".jsonl", ".ndjson")


class Rewrite(NamedTuple):
    """Why rows are not read as they are, as the end of a sentence, and what to do."""

    why: str
    fix: str


def rewrite(row: Row, source: str) -> Rewrite | None:
    """The rewriting of rows like this one; None where none is known."""
    if logged.is_request_alone(row):
        joined = "{messages: (.body.messages + [.response.body.choices[0].message])}"
        return Rewrite(
            tr("; it is one side of a batch of requests, and an example needs the question and its answer"),
            f"jq -s -c 'group_by(.custom_id)[] | add | {joined}' requests.jsonl answers.jsonl > chats.jsonl",
        )
    if spans := next((path for name, path in _SPANS.items() if _are_calls(row.get(name))), ""):
        why = tr("; each row is a whole trace, and its spans are the calls of a model")
        return Rewrite(why, tr("write a row for each span: {command}", command=_jq(spans, source, "spans")))
    return _of_tagged(row, source) or _of_many(row, source)


def _are_calls(values: Any) -> bool:
    """Whether a value holds spans of a trace, or what holds them; marked stretches of a text are called so too."""
    return _are(dict, values) and any(_OF_CALLS & value.keys() for value in values)


def _of_tagged(row: Row, source: str) -> Rewrite | None:
    """Words with a tag each (names, parts of speech): the words are the question, those with a tag the answer."""
    lists = {str(name): value for name, held in row.items() if isinstance(value := decoded(held), list) and value}
    words = next((name for name in ("tokens", "words") if _are(str, lists.get(name))), "")
    named = {name: value for name, value in lists.items() if _TAGS & {*name.lower().split("_")}}
    tags = next((name for name, held in named.items() if words and len(held) == len(lists[words])), "")
    if not tags:
        return None
    why = tr("; {words} are words with a mark each in {tags}", words=words, tags=tags)
    of_one, names = f".{tags}[]", ""
    if not _are(str, lists[tags]):
        why += tr(", and numbers say nothing without the names that they stand for")
        of_one, names = f".{tags}[] | $names[.]", '["O", "B-PER", "I-PER"] as $names | '
    found = f'[.{words}, [{of_one}]] | transpose | map(select(.[1] != "O") | .[0] + ": " + .[1]) | join("\\n")'
    pair = f'{{prompt: (.{words} | join(" ")), completion: ({found} | if . == "" then "none" else . end)}}'
    command = _jq(names + pair, source, "pairs")
    return Rewrite(
        why, tr("write what is found as an answer in words (names in their order): {command}", command=command)
    )


def _of_many(row: Row, source: str) -> Rewrite | None:
    """Several answers to one question: the one with the highest number, else the first."""
    place = many_answers(row)
    if not place:
        return None
    why = tr("; {many} holds several answers to one question", many=place)
    by_hand = tr(
        "choose one of them for each row (the best, or a row for each), and write it as a text: a column answer"
    )
    answers = decoded(row.get(place))
    if not isinstance(answers, list):
        return Rewrite(why, by_hand)
    path, best = f".{place}", ""
    scores = next((name for name in _SCORES if _are_numbers(row.get(name), len(answers))), "")
    if _are(str, answers):
        best = f"[{path}, .{scores}] | transpose | max_by(.[1])[0]" if scores else f"{path}[0]"
    elif _are(dict, answers) and (said := next((name for name in _SAID if _hold(str, answers, name)), "")):
        score = next(
            (name for name in answers[0] if str(name).lower() in _SCORES and _hold(float, answers, name)), ""
        )
        best = f"{path} | max_by(.{score}).{said}" if score else f"{path}[0].{said}"
        scores = score
    if not best:
        return Rewrite(why, by_hand)
    command = _jq(f".completion = ({best}) | del({path})", source, "chosen")
    if scores:
        return Rewrite(why, tr("take the one with the highest {score}: {command}", score=scores, command=command))
    return Rewrite(why, tr("{by_hand}; such as the first: {command}", by_hand=by_hand, command=command))


def with_roles(row: Row, source: str) -> str:
    """The command after which each turn says under role who speaks; "" where none is known.

    Turns may name the speaker by another key, or be whole conversations.
    """
    talks = {str(name): listed(held) for name, held in row.items() if folded(str(name)) in TURN_COLUMNS}
    column, turns = next(((name, held) for name, held in talks.items() if _are(dict, held)), ("", []))
    if not column:
        return ""
    if all(isinstance(turn.get("messages"), list) for turn in turns):
        return _jq(f". as $row | .{column}[] + ($row | del(.{column}))", source, "chats")
    if any(key != key.lower() in ROLE_KEYS for key in turns[0]):
        return _jq(f".{column}[] |= with_entries(.key |= ascii_downcase)", source, "named")
    key = next((key for key in turns[0] if all(str(turn.get(key)).lower() in ROLES for turn in turns)), "")
    if not key or key in ROLE_KEYS:
        return ""
    place = json.dumps(key)
    return _jq(f".{column}[] |= (.role = .[{place}] | del(.[{place}]))", source, "named")


def _jq(program: str, source: str, name: str) -> str:
    """The command; a document may be a list of the rows, and what is no JSON has to be written as JSON before."""
    each = 'if type == "array" then .[] else . end | ' if source.lower().endswith(".json") else ""
    given = source if source.lower().endswith(_JSON) else "rows.jsonl"
    return f"jq -c {shell(each + program)} {shell(given)} > {name}.jsonl"


def _are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(value, kind) for value in values)


def _are_numbers(values: Any, number: int) -> bool:
    values = decoded(values)
    return _are((int, float), values) and len(values) == number  # type: ignore[arg-type]


def _hold(kind: type, values: list[Row], name: str) -> bool:
    kinds = (int, float) if kind is float else kind
    return all(isinstance(value.get(name), kinds) for value in values)
