"""Oddities of a tokenizer: everyday text as special tokens, ids with two names, rewritten words, endless patterns.

Whoever can change tokenizer.json can change what a model reads and says without touching a weight: a special token
that ordinary text contains ends answers, and a normaliser that replaces words turns a `not` into nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from advisor.base.language import tr
from advisor.trust.patterns import may_not_end
from trainers.foreign.files import TOKENIZER_BYTES, read_small_file
from trainers.foreign.text import whole_number

_EVERYDAY = re.compile(r"[a-z ]{1,12}|\s*")
_ESCAPES = re.compile(r"\\[pP]\{\w+\}|\\x\{?\w{2,6}\}?|\\u\w{4}|\\.|\[[^\]]*\]|\(\?\w*[:=!<]?")
"""Parts of a pattern whose letters stand for no letters."""
_WORD = re.compile(r"[^\W\d_]{2,}")
DEEPEST = 20
SHOWN_CHARACTERS = 40


class _Token(msgspec.Struct):
    content: str
    id: int | None = None
    special: bool = False


class Tokenizer(msgspec.Struct):
    """What is looked at of a tokenizer.json; its vocabulary, nearly all of the file, is passed over."""

    added_tokens: list[_Token] = []
    normalizer: Any = None
    pre_tokenizer: Any = None
    post_processor: Any = None
    decoder: Any = None


def odd_tokens(settings: dict[str, Any], tokenizer: Tokenizer, vocab_size: object) -> list[str]:
    """What is odd, in words. `settings` is tokenizer_config.json.

    `vocab_size` is the rows of the model's embedding as config.json states them.
    """
    stated = list(_stated(settings.get("added_tokens_decoder")))
    tokens = list(dict.fromkeys((one.id, one.content, one.special) for one in (*stated, *tokenizer.added_tokens)))
    return [
        *_everyday(tokens),
        *_shared(tokens),
        *_doubled(tokenizer.added_tokens),
        *_contradicted(stated, tokenizer.added_tokens),
        *_beyond(tokenizer.added_tokens, vocab_size),
        *(
            tr("{before!r} is rewritten as {after!r} before the model reads it", before=before, after=after)
            for before, after in _rewritten(tokenizer.normalizer)
        ),
        *(
            tr("{before!r} is rewritten as {after!r} in what the model writes", before=before, after=after)
            for before, after in _rewritten(tokenizer.decoder)
        ),
        *_put_before(tokenizer.normalizer),
        *_put_around(tokenizer),
        *_endless(tokenizer),
    ]


def everyday_ends(configs: dict[str, Any]) -> list[str]:
    """Ends of every answer that ordinary text contains, by the files of a model that may name one."""
    ends = [
        (name, configs.get(name, {}).get("eos_token"))
        for name in ("tokenizer_config.json", "special_tokens_map.json")
    ]
    said = [(name, end.get("content") if isinstance(end, dict) else end) for name, end in ends]
    return [
        tr("{content!r} is everyday text and ends every answer, says {name}", content=_cut(content), name=name)
        for name, content in said
        if isinstance(content, str) and content and _EVERYDAY.fullmatch(content)
    ]


def read_tokenizer(file: Path) -> Tokenizer:
    """What is looked at of a tokenizer.json; nothing of one of another form, which its reader refuses."""
    try:
        return msgspec.json.decode(read_small_file(file, TOKENIZER_BYTES), type=Tokenizer)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Tokenizer()


def _stated(added: object) -> Iterator[_Token]:
    for number, token in added.items() if isinstance(added, dict) else ():
        content = token.get("content") if isinstance(token, dict) else None
        if isinstance(content, str):
            yield _Token(content, whole_number(str(number)), bool(token.get("special")))


def _everyday(tokens: list[tuple[int | None, str, bool]]) -> Iterator[str]:
    odd = dict.fromkeys(content for _, content, special in tokens if special and _EVERYDAY.fullmatch(content))
    return (tr("{content!r} is everyday text and a special token", content=_cut(content)) for content in odd)


def _shared(tokens: list[tuple[int | None, str, bool]]) -> Iterator[str]:
    seen: dict[str, int | None] = {}
    for number, content, _ in tokens:
        if number is not None and seen.setdefault(content, number) != number:
            yield tr(
                "{content!r} has the ids {seen} and {number}",
                content=_cut(content),
                seen=seen[content],
                number=number,
            )


def _doubled(added: list[_Token]) -> Iterator[str]:
    names: dict[int, str] = {}
    for one in added:
        if one.id is not None and names.setdefault(one.id, one.content) != one.content:
            yield tr(
                "{name!r} and {other!r} have the same id {id}",
                name=_cut(names[one.id]),
                other=_cut(one.content),
                id=one.id,
            )


def _contradicted(stated: list[_Token], added: list[_Token]) -> Iterator[str]:
    names = {one.id: one.content for one in added}
    for one in stated:
        other = names.get(one.id) if one.id is not None else None
        if other is not None and other != one.content:
            yield tr(
                "id {id} is {stated!r} in tokenizer_config.json and {other!r} in tokenizer.json",
                id=one.id,
                stated=_cut(one.content),
                other=_cut(other),
            )


def _beyond(added: list[_Token], vocab_size: object) -> Iterator[str]:
    if isinstance(vocab_size, int) and not isinstance(vocab_size, bool):
        beyond = [one for one in added if one.id is not None and not 0 <= one.id < vocab_size]
        if beyond:
            yield tr(
                "{content!r} has the id {id}, and the model has {rows} rows",
                content=_cut(beyond[0].content),
                id=beyond[0].id,
                rows=vocab_size,
            )


def _rewritten(step: object) -> Iterator[tuple[str, str]]:
    """Replacements of words, what by what; those of blanks, quotes and accents are what these steps are for."""
    for one in _parts(step):
        yield from _replaced(one)


def _parts(step: object, depth: int = 0) -> Iterator[dict[str, Any]]:
    """A step of a tokenizer and those that it is made of."""
    if not isinstance(step, dict) or depth > DEEPEST:
        return
    yield step
    for key in ("normalizers", "pretokenizers", "processors", "decoders"):
        inner = step.get(key)
        for one in inner if isinstance(inner, list) else ():
            yield from _parts(one, depth + 1)


def _replaced(step: dict[str, Any]) -> Iterator[tuple[str, str]]:
    pattern, put = step.get("pattern"), step.get("content")
    if step.get("type") != "Replace" or not isinstance(pattern, dict) or not isinstance(put, str):
        return
    said = pattern.get("String")
    looked_for = said if isinstance(said, str) else _ESCAPES.sub(" ", str(pattern.get("Regex", "")))
    if _WORD.search(looked_for) or _WORD.search(put):
        whole = said if isinstance(said, str) else pattern.get("Regex")
        yield _cut(str(whole)), _cut(put)


def _put_before(normalizer: object) -> Iterator[str]:
    """Words that every input begins with; a blank or its mark is what the step is for."""
    for step in _parts(normalizer):
        said = step.get("prepend")
        if isinstance(said, str) and _WORD.search(said):
            yield tr("{said!r} is put before every input", said=_cut(said))


def _put_around(tokenizer: Tokenizer) -> Iterator[str]:
    """Tokens that are put around every input under the name of others."""
    ids = {one.content: one.id for one in tokenizer.added_tokens}
    for step in _parts(tokenizer.post_processor):
        around = step.get("special_tokens")
        for name, put in around.items() if isinstance(around, dict) else ():
            numbers = put.get("ids") if isinstance(put, dict) else None
            if name in ids and isinstance(numbers, list) and numbers != [ids[name]]:
                yield tr(
                    "{name!r} stands for the ids {ids} around every input", name=_cut(name), ids=_cut(str(numbers))
                )


def _endless(tokenizer: Tokenizer) -> Iterator[str]:
    steps = [*_parts(tokenizer.normalizer), *_parts(tokenizer.pre_tokenizer), *_parts(tokenizer.decoder)]
    for step in steps:
        pattern = step.get("pattern")
        said = pattern.get("Regex") if isinstance(pattern, dict) else None
        if isinstance(said, str) and may_not_end(said):
            yield tr("the pattern {pattern!r} may never come to an end", pattern=_cut(said))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
