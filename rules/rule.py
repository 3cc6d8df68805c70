"""The shape of one rule, one case and one source, as they stand in TOML, and of what a rule said."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

Effect = Literal["gate", "veto", "prefer", "avoid", "set", "warn"]
Strength = Literal["proven", "measured", "derived", "consensus", "opinion"]
Outcome = Literal["fires", "silent", "unknown"]

EFFECTS: tuple[Effect, ...] = get_args(Effect)
STRENGTHS: tuple[Strength, ...] = get_args(Strength)
ENGLISH = "en"
ID_PATTERN = re.compile(r"[A-Z]{2,8}-[0-9]{2,3}")
MAX_FILE_KIB = 64
MAX_FILE_BYTES = MAX_FILE_KIB * 1024
MAX_FILES = 2000


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One example of a rule: these facts and no others, and what the rule must say of them."""

    name: str
    given: dict[str, Any]
    expect: Outcome
    sets: dict[str, Any] = {}
    """For a `set` rule that fires: the values it must give (all of them, or a part)."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the bibliography."""

    title: str
    url: str = ""
    """Empty for arithmetic and for what this project measured itself."""
    year: int
    kind: Literal["paper", "code", "docs", "issue", "measurement", "guide", "arithmetic", "policy"]
    checked: Literal["read", "digest", "memory"]
    """How it was verified: read in the original, in a secondary digest, or from memory."""
    note: str = ""


SENTENCES = ("title", "message", "because", "fix")


class Wording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule's sentences in another language, with the same placeholders."""

    of: str = ""
    """`Rule.wording_digest` of the sentences that were translated; "" where nobody keeps count."""
    title: str
    message: str
    because: str = ""
    fix: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule: a condition over facts and one effect, with its evidence and its own tests."""

    id: str
    title: str
    """Names the situation, not the remedy; the file is called `<id>-<title in lower case with hyphens>.toml`."""
    when: str
    effect: Effect
    message: str
    because: str = ""
    """What the evidence says, for `explain`."""
    fix: str = ""
    strength: Strength
    sources: tuple[str, ...]
    against: tuple[str, ...] = ()
    """Sources whose figures speak against it; `because` says what they found, or why it stands all the same."""
    evidence: tuple[str, ...] = ()
    """Rows of the decision guide (SD-*), of its corrections (K*) and of the rule list (R*) that it carries."""
    weight: int | None = None
    """1 weak, 2 medium, 3 strong, 0 a reason without points; only for `prefer` and `avoid`."""
    set: dict[str, str] = {}
    """Plan field -> CEL expression."""
    show: dict[str, str] = {}
    """Name -> CEL expression: figures that the message quotes as `{name}` or `{name:unit}`."""
    overrides: tuple[str, ...] = ()
    """Set rules that give way when this one fires on the same field."""
    default: bool = False
    """A set rule that speaks only when no other set rule does."""
    replaces: str | None = None
    """The bundled rule that an organisation's rule takes the place of."""
    cases: tuple[Case, ...] = ()
    translations: dict[str, Wording] = {}
    """Language (zh_CN) -> its sentences."""

    group: str = ""
    path: str = ""

    @property
    def signed_weight(self) -> int:
        """Weight as it counts in the score: negative for `avoid`."""
        points = self.weight or 0
        return -points if self.effect == "avoid" else points

    @property
    def wording_digest(self) -> str:
        """Eight hex digits of the English sentences; a translation of others is stale."""
        text = "\0".join(getattr(self, key) for key in SENTENCES)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def worded(self, language: str) -> Rule:
        """The rule in this language, and in English where it has no translation or one of other sentences."""
        translation = self.translations.get(language)
        if translation is None or translation.of not in ("", self.wording_digest):
            return msgspec.structs.replace(self, translations={})
        sentences = {key: text for key in SENTENCES if (text := getattr(translation, key))}
        return msgspec.structs.replace(self, translations={}, **sentences)

    @property
    def expressions(self) -> tuple[str, ...]:
        """Every CEL expression of the rule, the condition first."""
        return (self.when, *self.set.values(), *self.show.values())


LOADED_FIELDS = ("group", "path")
RULE_KEYS = tuple(name for name in Rule.__struct_fields__ if name not in LOADED_FIELDS)
REQUIRED_KEYS = ("id", "title", "when", "effect", "message", "strength", "sources")


def slug(title: str) -> str:
    """The title as it stands in a file name: lower case, words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def file_name(rule_id: str, title: str) -> str:
    """The file name that a rule must have."""
    return f"{rule_id}-{slug(title)}.toml"


def overridden_by(rule: Rule, by_id: Mapping[str, Rule]) -> set[str]:
    """Ids of the rules that give way to this one, directly or through another."""
    seen: set[str] = set()
    waiting = list(rule.overrides)
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += by_id[current].overrides if current in by_id else ()
    return seen


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule said of one set of facts."""

    rule_id: str
    title: str
    group: str
    effect: Effect
    outcome: Outcome
    message: str
    """The rule's message with the numbers it saw; for an undecided rule, what is missing."""
    because: str = ""
    """What the evidence says, for a rule that fired; empty otherwise."""
    fix: str = ""
    strength: Strength
    sources: tuple[str, ...]
    weight: int = 0
    """Positive for `prefer`, negative for `avoid`, 0 for every other effect."""
    facts: dict[str, Any] = {}
    """The facts that its condition (and its settings) read, with their values."""
    missing: tuple[str, ...] = ()
    """Facts that it needed and that are not known; empty unless the outcome is "unknown"."""
    sets: dict[str, Any] = {}
    """Plan fields that it set. Empty for a set rule that fired but gave way; the message says to what."""
