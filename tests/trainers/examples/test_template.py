"""One template under limits, and which message it was writing for."""

from __future__ import annotations

import pytest

from trainers.examples.example import RowError
from trainers.examples.template import NOBODY, ChatTemplate

MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


DOUBLING = "{% set n = namespace(x='x') %}{% for i in range(60) %}{% set n.x = n.x OPERATOR n.x %}{% endfor %}"


def turns(source: str) -> list[tuple[int, str]]:
    trace = ChatTemplate(source).render(MESSAGES)
    return [(piece.turn, trace.text[piece.start : piece.end]) for piece in trace.pieces]


def test_each_stretch_is_given_to_the_message_that_the_loop_was_at() -> None:
    source = "start {% for m in messages %}[{{ m.content }}]{% endfor %} end"
    assert turns(source) == [(NOBODY, "start "), (0, "[hi]"), (1, "[hello]"), (NOBODY, " end")]


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(messages | length) %}[{{ messages[i].content }}]{% endfor %}",
        "{% set all = messages[0:] %}{% for m in all %}[{{ m.content }}]{% endfor %}",
        "{% for m in messages if m.content %}[{{ m.content }}]{% endfor %}",
        "{% macro said(m) %}[{{ m.content }}]{% endmacro %}{% for m in messages %}{{ said(m) }}{% endfor %}",
        "{% for m in messages %}{% for other in messages %}{% endfor %}[{{ m.content }}]{% endfor %}",
        "{% for i, m in enumerate_of(messages) %}{% endfor %}{% for m in messages %}[{{ m.content }}]{% endfor %}",
        "{% for m in messages %}{% set ns = namespace(x='[') %}{{ ns.x ~ m.content ~ ']' }}{% endfor %}",
    ],
)
def test_loops_of_every_shape_are_followed(source: str) -> None:
    source = source.replace("enumerate_of(messages)", "{'a': 1}.items()")
    assert turns(source) == [(0, "[hi]"), (1, "[hello]")]


def test_a_loop_ahead_does_not_keep_its_place() -> None:
    ahead = "{% for later in messages[loop.index:] %}{{ later.role }}{% endfor %}"
    source = f"{{% for m in messages %}}({{{{ m.content }}}}{ahead}){{% endfor %}}"
    assert turns(source) == [(0, "(hi"), (1, "assistant"), (0, ")"), (1, "(hello)")]


def test_generation_blocks_are_noted() -> None:
    block = "{% generation %}a{% endgeneration %}"
    source = f"{{% for m in messages %}}{{% if m.role == 'user' %}}q{{% else %}}{block}{{% endif %}}{{% endfor %}}"
    pieces = ChatTemplate(source).render(MESSAGES).pieces
    assert [piece.is_generated for piece in pieces] == [False, True]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "without an end"),
        ("{% for i in range(9999) %}{{ 'x' * 1000 }}{% endfor %}", "characters"),
        ("{{ 'x' * 1000000000 }}", "too large"),
        ("{{ 2 ** 100000000 }}", "too large"),
        (
            "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
            "too large",
        ),
        (
            "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "too large",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ messages[0].content + 1 }}", "TypeError"),
        ("{{ ''.__class__.__mro__ }}", "refuses"),
        ("{% if %}", "refuses"),
        ("{{ nothing }}", "empty text"),
    ],
)
def test_a_hostile_template_is_one_broken_row(source: str, told: str) -> None:
    with pytest.raises(RowError, match=told):
        ChatTemplate(source).render(MESSAGES)
