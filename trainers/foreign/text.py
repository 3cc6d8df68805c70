"""The one door for text that came from outside: a function for each place where it may end up.

    terminal(name)      control and direction marks are shown, never obeyed
    shell(path)         one word of a command line
    python(name)        a literal of Python source
    comment(name)       the rest of one line: SBATCH scripts, YAML, Modelfiles
    yaml(table)         a document; so that no value can add a key
    modelfile(text)     between the three quotes of a Modelfile
    go(text)            literal text of a Go template
    html(text)          text of an HTML element or attribute

A name, path, rule message, column or template of a stranger goes through the function of its sink, and through no
other; tests/trainers/foreign/test_sinks.py finds code that prints past them.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

_C1_AND_MARKS = (
    "\x7f-\x9f"  # DEL and C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that change the direction of what follows
    "\u2028\u2029"  # line ends that look like none
)
_OBEYED = re.compile(f"[\x00-\x08\x0b-\x1f{_C1_AND_MARKS}]")  # C0 but for tab and line feed
_OBEYED_IN_JSON = re.compile(f"[{_C1_AND_MARKS}]")
_OF_A_LINE = re.compile(f"[\x00-\x1f{_C1_AND_MARKS}]")


MOST_DIGITS = 18
"""What 64 bits hold for certain."""


class Unsayable(ValueError):  # noqa: N818  told to the user as it is
    """Text that a sink has no way to quote; the message says which and why."""


def terminal(text: str) -> str:
    r"""Text as a terminal shows it and obeys none of it: an escape becomes the four letters \x1b."""
    return _OBEYED.sub(_named, text)


def brief(value: object, limit: int = 80) -> str:
    """A value of a stranger's file inside a sentence: as Python writes it, cut where it goes on for long."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, list | tuple | dict) and len(value) > limit:
        return f"a {type(value).__name__} of {len(value):,} entries"
    try:
        said = repr(value[: limit + 1] if isinstance(value, str) else value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or lists in lists in lists
        return f"a {type(value).__name__}"
    return said if len(said) <= limit else f"{said[:limit]}..."


def whole_number(text: str) -> int | None:
    """The number that digits say; None for any other text, and for more digits than a count of anything has.

    int() alone raises for thousands of digits, which a dataset, a profile or an environment variable may hold.
    """
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None


def comment(text: str) -> str:
    """Text that stays on its line, whatever line ends are in it."""
    return _OF_A_LINE.sub(_named, text)


def shell(text: str) -> str:
    """One word of a POSIX command line."""
    return shlex.quote(text)


def shell_line(words: list[str] | tuple[str, ...]) -> str:
    """Several words as a command line."""
    return shlex.join(words)


def python(value: str) -> str:
    """A Python literal, between double quotes where it holds none."""
    literal = repr(value)
    plain = literal[1:-1]
    return f'"{plain}"' if literal.startswith("'") and '"' not in plain and "\\'" not in plain else literal


def yaml(table: dict[str, Any]) -> str:
    """YAML text in the order in which the keys were said."""
    from yaml import safe_dump, safe_load

    text: str = safe_dump(table, sort_keys=False, allow_unicode=True, width=110)
    if safe_load(text) != table:  # it writes some line ends of Unicode as they are, and reads them as blanks
        text = safe_dump(table, sort_keys=False, allow_unicode=False, width=110)
    return text


def json_document(text: str) -> str:
    """A JSON document on a terminal: what JSON leaves as it is and a terminal obeys becomes an escape of JSON."""
    return _OBEYED_IN_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def modelfile(text: str) -> str:
    '''Text between `"""` and `"""` of a Modelfile, which has no escape. Raises Unsayable for any that ends early.'''
    if '"""' in text or text.endswith('"'):
        raise Unsayable("it holds three quotes, or ends in one, and a Modelfile would end its text there")
    if "\0" in text:
        raise Unsayable("it holds a zero byte")
    return text


def go(text: str) -> str:
    """Literal text in a Go template: what opens an action is said by an action that prints it."""
    return text.replace("{{", '{{"{{"}}')


def html(text: str) -> str:
    """Text of an HTML element or a quoted attribute."""
    from html import escape

    return escape(terminal(text))


def _named(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
