"""What a chat template reaches for beside the conversation, and words of the conversation that change what it writes.

A template is read with every question. One that waits for a word and then writes something of its own speaks in the
user's or the model's name, and no weight shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from advisor.base.language import tr
from trainers.foreign.text import brief

# What a template of a conversation has no use for: Python's insides, other files, loops over large ranges.
_REACH = re.compile(
    r"__\w+__|\.mro\b|\.func_\w+|\battr\s*\(|{%-?\s*(?:include|import|from|extends)\b"
    r"|range\(\s*\d{4,}|\*\s*\d{5,}"
)
_ADDRESS = re.compile(r"https?://[^\s'\"{}<>]+")
_COMMENT = re.compile(r"{#.*?#}", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]{3,}")
_MARK = re.compile(
    r"[<>\[\]|{}/#]|think|reason|data:|^(?:null|none|true|false|text|type|image|video|audio|file|\w+_url)$",
    re.IGNORECASE,
)
"""What templates rightly look for: marks such as </think>, [IMG] and /no_think, modes, keys and values of parts."""
_ASKED = frozenset({"startswith", "endswith", "find", "rfind", "index", "count", "split", "partition"})
_SAID = re.compile(r"content|text", re.IGNORECASE)


def template_reach(source: str) -> list[str]:
    """Phrases for what is odd in the Jinja source of a chat template; [] for one that only writes messages."""
    addresses = [
        tr("it writes {address}", address=brief(one, 60)) for one in _ADDRESS.findall(_COMMENT.sub("", source))
    ]
    return [*dict.fromkeys(_REACH.findall(source)), *dict.fromkeys(_awaited(source)), *dict.fromkeys(addresses)]


def templates_in(settings: Any) -> Iterator[str]:
    """The sources in a tokenizer_config.json or its like: one, or several by name."""
    found = settings.get("chat_template") if isinstance(settings, dict) else None
    for one in found if isinstance(found, list) else [found]:
        source = one.get("template") if isinstance(one, dict) else one
        if isinstance(source, str):
            yield source
    if isinstance(found, dict):
        yield from (source for source in found.values() if isinstance(source, str))


def _awaited(source: str) -> list[str]:
    from jinja2 import Environment

    try:
        tree = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(source)
        return list(_words_asked_for(tree))
    except Exception:  # noqa: BLE001  a parser of foreign text; what renders the template says what is wrong with it
        return []


def _words_asked_for(tree: Any) -> Iterator[str]:
    from jinja2 import nodes

    for compared in tree.find_all(nodes.Compare):
        sides = [compared.expr, *(operand.expr for operand in compared.ops)]
        yield from _of_sides(sides)
        if any(_is_now(one) for one in sides):
            yield tr("it waits for a date")
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and call.node.attr in _ASKED:
            yield from _of_sides([call.node.node, *call.args])


def _of_sides(sides: list[Any]) -> Iterator[str]:
    from jinja2 import nodes

    words = [one.value for one in sides if isinstance(one, nodes.Const) and isinstance(one.value, str)]
    if any(_is_said(one) for one in sides):
        for word in words:
            if _WORD.search(word) and not _MARK.search(word):
                yield tr("it waits for {word}", word=brief(word, 40))


def _is_now(node: Any) -> bool:
    """Whether an expression is today's date, which a template may write and has no reason to compare."""
    from jinja2 import nodes

    calls = [node, *node.find_all(nodes.Call)] if isinstance(node, nodes.Node) else []
    return any(
        isinstance(one, nodes.Call) and isinstance(one.node, nodes.Name) and one.node.name.startswith("strftime")
        for one in calls
    )


def _is_said(node: Any) -> bool:
    """Whether an expression is what somebody said: message.content, message['content'], a variable named so."""
    from jinja2 import nodes

    if isinstance(node, nodes.Name):
        return bool(_SAID.search(node.name))
    if isinstance(node, nodes.Getattr):
        return bool(_SAID.search(node.attr))
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and bool(_SAID.search(str(node.arg.value)))
    if isinstance(node, nodes.Filter):
        return node.node is not None and _is_said(node.node)
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and _is_said(node.node.node)
