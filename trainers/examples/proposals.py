"""A mapping to begin with, for columns of no known layout: by the words in their names, and by what they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trainers.examples.conversation import is_turn
from trainers.examples.mapping import as_flag, columns_of, folded
from trainers.examples.rendered import dialect_of
from trainers.examples.speakers import turns_spoken
from trainers.examples.turns import ROLE_KEYS, decoded

_WORDS = {
    "context": "context contexts passage passages document documents background evidence support",
    "system": "system",
    "completion": "answer answers response completion output reply solution truth target sql code assistant summary "
    "label grant result translation correct positive chosen gpt bot tgt ideal middle "
    "outputs generated reference expected",
    "prompt": "question query prompt instruction ask asked request user human problem input wish anchor source src "
    "inputs",
}
"""What a column is, by a word of its name; what stands first is tried first, and counts for more."""
_ABOUT_NAMES = """
id uid idx index source model models category metadata meta date time url license lang language score rejected
explanation difficulty author tags tag type style split negative sentiment emotion agent speaker speakers name names
subreddit created date time timestamp status state mode incorrect wrong
object finish @type @context recordid prediction predicted key level
"""
_ABOUT = frozenset(_ABOUT_NAMES.split())
_TALK_NAMES = "data dialog dialogue dialogues conversation conversations turns messages chat utterances"
_TALKS = frozenset(_TALK_NAMES.split())
"""Names of columns whose texts are said by turns; other lists of texts are choices, or answers side by side."""
_CLASSES = (
    *("label", "labels", "gold_label", "class", "category", "sentiment"),
    *("stars", "rating", "answerkey", "answer"),
)
"""Columns that say which class a row is of, plainest first."""
_SEVERAL = frozenset({"candidate", "completion", "generation", "continuation", "distractor"})
"""What several answers to one question are called, of which not all are right."""
_SIDE = re.compile(r"(.*?)[_ ]?(?:a|b|1|2)", re.DOTALL)
"""How the two sides of a comparison are called: response_a and response_b."""
_WRONG = frozenset({"incorrect", "wrong", "rejected", "negative", "prediction", "predicted"})
_PAIRED = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("text_a", "text_b"),
    ("question1", "question2"),
)
"""Columns of two texts that are judged together."""
_MEDIA = frozenset({"audio", "audios", "image", "images", "video", "videos", "picture", "pictures"})
_MEDIA_FILE = re.compile(r"\S+\.(?:wav|mp3|flac|ogg|m4a|png|jpe?g|webp|gif|bmp|mp4|avi|mov|mkv|webm)", re.IGNORECASE)
_LONGEST_CLASS = 40
_MOST_JOINED = 4
"""Columns that a question is made of; an object with more texts holds something else than a row."""
_ENOUGH = 2
_SEVERAL_WORDS = 4
"""From so many on a text is more than a name."""
_DEEPEST = 6
_NOT_FIRST = re.compile(r"\.[1-9]\d*(?:\.|$)")
"""In a place: one of several things."""
_A_WORD = re.compile(r"[^\W\d_]{2,}|[\u3040-\u30ff\u3400-\u9fff]")


def proposal(row: dict[str, Any]) -> str:
    """`proposed` as a flag; "" where nothing is proposed."""
    return as_flag(mapping) if (mapping := proposed(row)) else ""


def proposed(row: dict[str, Any]) -> dict[str, str]:
    """A mapping of the columns of this row; {} where nothing in it can be told to be a text or turns.

    What would leave something out without a reason is not proposed: one side of a comparison, a text without the
    class that it was given. Whoever has `many_answers` has to choose among them first.
    """
    if media_column(row) or _sides(row):
        return {}
    places = dict(_places(row))
    if talk := _talk(places):
        return talk
    texts = [place for place, value in places.items() if _is_text(value)]
    chats = [place for place in texts if isinstance(places[place], str) and _is_chat(places[place])]
    if chats:
        return {"text": chats[0]}
    named = _named(texts, places)
    passages = next((place for place, value in places.items() if _are_passages(place, value)), "")
    if passages and len(str(places[passages])) > len(str(places.get(named.get("context", ""), ""))):
        named["context"] = passages
    if {"prompt", "completion"} <= set(named):
        order = ("prompt", "context", "completion", "system")
        return {target: named[target] for target in order if target in named}
    for place, value in places.items():
        is_many = isinstance(value, list) and len(value) >= _ENOUGH and all(isinstance(text, str) for text in value)
        are_several = {word.removesuffix("s") for word in _words_of(place)} & _SEVERAL
        if is_many and _words_of(place) & _TALKS and not are_several:
            return {"messages": place}
    said = [place for place in texts if not _words_of(place) & {*_ABOUT, "system"}]
    return _by_place(said, named, _class_column(row, said))


def completed(row: dict[str, Any], mapping: dict[str, str]) -> dict[str, str]:
    """The mapping with what it leaves out before the question; {} where that is too much, or has no one place."""
    left = left_out(row, mapping)
    if not left:
        return mapping
    if "messages" in mapping or len(left) > _MOST_JOINED or any(_NOT_FIRST.search(place) for place in left):
        return {}
    asked, answered = mapping.get("prompt"), mapping.get("completion", mapping.get("text", ""))
    prompt = "+".join([*left, *([asked] if asked else [])])
    made = {**(mapping if asked else {}), "prompt": prompt, "completion": answered}
    return {} if left_out(row, made) else made


def left_out(row: dict[str, Any], mapping: dict[str, str]) -> list[str]:
    """Places of a row that hold several words, or any beside a text alone, and that this mapping does not read."""
    used = {folded(place) for column in mapping.values() for place in columns_of(column)}
    fewest = 1 if "text" in mapping else _SEVERAL_WORDS
    return [place for place, text in _leaves(row, "") if _counted(text) >= fewest and not _is_used(place, used)]


def _is_used(place: str, used: set[str]) -> bool:
    """Whether a place is read, is inside one that is read, or says by its name that it is about the row."""
    names = folded(place).split(".")
    paths = {".".join(names[:number]) for number in range(1, len(names) + 1)}
    about = {*_ABOUT, *_WRONG, "system"} - {"name", "names", "source", "explanation"}
    return bool(paths & used) or any(_words_of(name) & about for name in names)


def _leaves(value: Any, place: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    value = decoded(value)
    if isinstance(value, str):
        yield place, value
    elif depth < _DEEPEST and isinstance(value, dict | list):
        for name, held in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(held, f"{place}.{name}" if place else str(name), depth + 1)


def _counted(text: str) -> int:
    """Words of a text, a Chinese or Japanese character for one; none in what is a mark or a number."""
    return len(_A_WORD.findall(text))


def many_answers(row: dict[str, Any]) -> str:
    """The place of several answers to one question, of which somebody has to choose one; "" where there is none."""
    if sides := _sides(row):
        return ", ".join(sides)
    answers = {*_WORDS["completion"].split(), *_SEVERAL}
    one = _named([str(name) for name, value in row.items() if _is_text(value)], row)
    if {"prompt", "completion"} <= one.keys():
        return ""
    for place, value in _places(row):
        words = {word.removesuffix("s") for word in _words_of(place)} | _words_of(place)
        is_many = isinstance(value, list) and len(value) >= _ENOUGH and not any(map(is_turn, value))
        if is_many and words & answers and not words & _TALKS:
            return place
    return ""


def _sides(row: dict[str, Any]) -> tuple[str, ...]:
    """Two columns of answers side by side, of which somebody has to say which is better; () where there are none."""
    answers = {*_WORDS["completion"].split(), *_SEVERAL} - {"label"}
    stems: dict[str, list[str]] = {}
    for name, value in row.items():
        found = _SIDE.fullmatch(folded(str(name)))
        if found and {word.removesuffix("s") for word in _words_of(found[1])} & answers and _is_said(decoded(value)):
            stems.setdefault(found[1], []).append(str(name))
    return next((tuple(names) for names in stems.values() if len(names) == _ENOUGH), ())


def _is_said(value: Any) -> bool:
    return bool(value) and isinstance(value, str | list)


def _talk(places: dict[str, Any]) -> dict[str, str]:
    """Turns as a mapping names them, of question and answer where they stand apart; {} without an answer."""
    talks = {place: value for place, value in places.items() if isinstance(value, list) and any(map(is_turn, value))}
    spoken = [place for place, value in talks.items() if any(is_turn(turn) and _speaks(turn) for turn in value)]
    asked = [place for place in talks if place not in spoken and all(map(is_turn, talks[place]))]
    if not spoken:
        return {}
    is_apart = asked and all(is_turn(turn) and _speaks(turn) for turn in talks[spoken[0]])
    return {"prompt": asked[0], "completion": spoken[0]} if is_apart else {"messages": spoken[0]}


def media_column(row: dict[str, Any]) -> str:
    """The column that holds a picture, a film or a sound, or the file of one; "" where none does."""
    return next((str(name) for name, value in row.items() if value and _is_media(str(name), value)), "")


def _is_media(name: str, value: Any) -> bool:
    held = value[0] if isinstance(value, list) else value
    if isinstance(held, dict):
        held = held.get("path") or held.get("bytes") or held.get("url") or ("sampling_rate" in held)
    is_file = isinstance(held, str) and bool(_MEDIA_FILE.fullmatch(held.strip()))
    return is_file or (folded(name) in _MEDIA and isinstance(held, str | bytes | bool))


def _is_chat(text: str) -> bool:
    return bool(dialect_of(text) or turns_spoken(text))


def _named(texts: list[str], places: dict[str, Any]) -> dict[str, str]:
    """The places whose names say what they hold; of names that say the same, the one with the longest text."""
    named: dict[str, str] = {}
    for target, words in _WORDS.items():
        ranked = sorted(
            (rank, -len(str(places[place])), place)
            for place in texts
            if (rank := _rank(place, words.split())) is not None and not _words_of(place) & _WRONG
        )
        free = [place for _, _, place in ranked if place not in named.values()]
        if free:
            named[target] = free[0]
    return named


def _by_place(said: list[str], named: dict[str, str], verdict: str) -> dict[str, str]:
    """A mapping by the order of the texts: the last one answers, or the class that all of them were given."""
    if verdict and said:
        columns = {folded(place): place for place in said}
        pair = next((pair for pair in _PAIRED if columns.keys() >= set(pair)), ())
        said = [columns[name] for name in pair] or said
        return {"prompt": "+".join(one for one in said if one != verdict), "completion": verdict}
    if len(said) < _ENOUGH:
        is_question = bool(said) and bool(_words_of(said[0]) & {*_WORDS["prompt"].split()})
        return {"text": said[0]} if said and not is_question else {}
    asked = named.get("prompt")
    passages = set(_WORDS["context"].split())
    unnamed = [place for place in said if place != asked and not _words_of(place) & passages]
    answered = named.get("completion") or (unnamed[-1] if unnamed else "")
    if asked and not named.get("completion") and len(unnamed) > 1:
        return {}  # any of them may be the answer
    others = [place for place in said if place != answered]
    if not answered or len(others) > _MOST_JOINED:
        return {}
    return {"prompt": asked if asked and len(others) == 1 else "+".join(others), "completion": answered}


def _are_passages(place: str, value: Any) -> bool:
    """Whether a place holds several passages that a question is about."""
    is_many = isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)
    return is_many and bool(_words_of(place) & set(_WORDS["context"].split()))


def _class_column(row: dict[str, Any], said: list[str]) -> str:
    """The column that says which class the texts are of; "" where there is none."""
    columns = {folded(str(name)): str(name) for name, value in row.items() if _is_class(value)}
    found = next((columns[name] for name in _CLASSES if name in columns), "")
    return found if any(place != found for place in said) else ""


def _is_class(value: Any) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, str) and 0 < len(value) <= _LONGEST_CLASS)


def _words_of(place: str) -> set[str]:
    return set(folded(place).replace(".", "_").split("_"))


def _speaks(turn: dict[str, Any]) -> bool:
    said = next((turn[key] for key in ROLE_KEYS if key in turn), None)
    return said not in ("user", "human", "system")


def _is_text(value: Any) -> bool:
    """Whether a value is a text, or turns of which none is an answer."""
    if isinstance(value, list):
        return bool(value) and all(is_turn(turn) and not _speaks(turn) for turn in value)
    return isinstance(value, str) and bool(value.strip())


def _rank(place: str, words: list[str]) -> tuple[bool, int] | None:
    """How well a name fits these words, the least best; None where it does not."""
    met = [number for number, word in enumerate(words) if word in _words_of(place)]
    return (len(_words_of(place)) > 1, met[0]) if met else None


def _places(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The columns, and the places one level inside those that hold an object, or a list of one thing alone."""
    for name, value in row.items():
        value = decoded(value)
        yield str(name), value
        is_one = isinstance(value, list) and len(value) == 1
        inner, place = (value[0], f"{name}.0") if is_one else (value, str(name))
        if isinstance(inner, dict) and not is_turn(inner):
            for key, held in inner.items():
                is_one = isinstance(held, list) and len(held) == 1 and isinstance(held[0], str)
                yield (f"{place}.{key}.0", held[0]) if is_one else (f"{place}.{key}", held)
        elif isinstance(inner, str) and inner is not value:
            yield place, inner
