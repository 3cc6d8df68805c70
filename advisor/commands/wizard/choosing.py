"""No model yet: two questions, then a short list for this machine, each model with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from advisor.ask.question import Values
from advisor.ask.questions import BY_KEY
from advisor.base.language import later, tr
from advisor.commands.wizard.keys import Prompts, Signal

if TYPE_CHECKING:
    from advisor.decide.shortlist import Language
    from advisor.probe.hardware import Hardware

NO_MODEL = ("none", "no", "choose", "\u6ca1\u6709", "\u8fd8\u6ca1\u6709")
"""What a person types who has no model yet."""
_LANGUAGES: dict[str, str] = {
    "english": later("English"),
    "chinese": later("Chinese, alone or with others"),
    "european": later("a European language besides English"),
    "other": later("another language, or many"),
}
_DATA = ("data.examples", "data.total_tokens")


class Chosen(NamedTuple):
    """What came of it."""

    model: str | None
    """None: nothing fits this machine comfortably."""
    kind: str
    """Kind of the data, as it was said."""


def choose_model(hardware: Hardware, values: Values, prompts: Prompts) -> Chosen | Signal:
    """Ask for kind and language, and let one of the models be taken. A key that is no answer ends it."""
    from advisor.decide.shortlist import shortlist
    from rules.engine import load_rule_book

    kind: Any = values.get("data.kind")
    if kind is None:
        question = BY_KEY["data.kind"]
        meanings = {name: tr(meaning) for name, meaning in question.choices.items()}
        kind = prompts.choice(tr(question.prompt), meanings, None)
    if isinstance(kind, Signal):
        return kind
    languages = {name: tr(meaning) for name, meaning in _LANGUAGES.items()}
    language = prompts.choice(tr("In which language is it spoken to?"), languages, None)
    if isinstance(language, Signal):
        return language
    stated = {key: values.get(key) for key in _DATA}
    found = shortlist(hardware, kind, cast("Language", language), load_rule_book(), stated)
    if not found:
        return Chosen(None, kind)
    message = tr("The largest of each family that fits comfortably")
    model = prompts.choice(message, {proposal.name: proposal.reason for proposal in found}, None)
    return model if isinstance(model, Signal) else Chosen(model, kind)
