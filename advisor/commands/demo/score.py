"""How well written forms match: exact matches and right fields. Works on texts, whoever wrote them.

score = score_forms([(reference_text, written_text), ...])
score.exact, score.of, score.fields["data.examples"]
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from advisor.commands.demo.dataset import KEYS


class FormScore(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over `of` forms. A field is right when its value is equal; null and left out are the same: not said."""

    of: int
    exact: int
    """Nothing but the form was written, and every field of it is right."""
    readable: int
    """A JSON object could be read out of the text, whatever it holds."""
    fields: dict[str, int]
    """Right answers by field; all are wrong in a text without a JSON object."""

    @property
    def exact_share(self) -> float:
        """Exact matches, 0 to 1."""
        return self.exact / self.of if self.of else 0.0

    @property
    def field_share(self) -> float:
        """Right fields over all fields of all forms, 0 to 1."""
        return sum(self.fields.values()) / (self.of * len(self.fields)) if self.of else 0.0


def score_forms(pairs: Iterable[tuple[str, str]]) -> FormScore:
    """Compare (reference, written) texts. Raises ValueError when a reference is not a form."""
    of = exact = readable = 0
    fields = dict.fromkeys(KEYS, 0)
    for reference, written in pairs:
        wanted = said(json.loads(reference))
        found, alone = read_form(written)
        of += 1
        if found is None:
            continue
        readable += 1
        found = said(found)
        exact += alone and set(found) == set(wanted) and all(_same(found, wanted, key) for key in wanted)
        for key in KEYS:
            fields[key] += _same(found, wanted, key)
    return FormScore(of=of, exact=exact, readable=readable, fields=fields)


def read_form(text: str) -> tuple[dict[str, Any] | None, bool]:
    """The first JSON object in `text`, and whether the text holds nothing else. (None, False) without one."""
    start = text.find("{")
    if start < 0:
        return None, False
    try:
        found, length = json.JSONDecoder().raw_decode(text[start:])
    except ValueError:
        return None, False
    return found, not text[:start].strip() and not text[start + length :].strip()


def said(form: dict[str, Any]) -> dict[str, Any]:
    """The form without what was not said."""
    return {key: value for key, value in form.items() if value is not None}


def _same(found: dict[str, Any], wanted: dict[str, Any], key: str) -> bool:
    """Equal in value and type: `1` is not `true`."""
    value, reference = found.get(key), wanted.get(key)
    return type(value) is type(reference) and bool(value == reference)
