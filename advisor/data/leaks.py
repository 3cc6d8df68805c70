"""Secrets and personal data in the examples: found by detect-secrets and python-stdnum in the rows that look suspect.

    leaks = LeakFinder()
    leaks.add(line, text)        # for every row
    leaks.finish()               # -> list[Leak]

A fast pattern (Rust, through polars) picks the rows that could hold something; only these are looked at closely. What
was found is told by its kind and line, never by its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import msgspec

_BATCH_ROWS = 4096
_SHOWN_LINES = 5

# What a row has to hold to be given to detect-secrets; each line belongs to some of its detectors.
_SECRET_HINTS = "|".join(
    (
        r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{8}",
        r"gh[pousr]_[A-Za-z0-9]|github_pat_|glpat-|npm_[A-Za-z0-9]|pypi-AgE",
        r"\bsk-[A-Za-z0-9]|\b[sr]k_live_|\bxox[abposr]-|\bSG\.[\w-]|AIza",
        r"eyJ[A-Za-z0-9_-]{10}",
        r"-----BEGIN",
        r"://[^/\s:@]+:[^/\s:@]+@",
        r"AccountKey=|[0-9a-z]{32}-us[0-9]{1,2}\b|[0-9]{8,10}:[\w-]{35}|\bAC[a-z0-9]{32}|\bSK[a-z0-9]{32}",
    )
)
_SECRET_HINT = re.compile(_SECRET_HINTS)
_SECRET_PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector",
    "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
"""Those that know a token's form. The guesses by entropy and by keyword find a "secret" in every third chat."""

# What a row has to hold to be looked at for each kind, in the syntax that Rust and Python share; then the pattern.
_EMAIL_HINT, _EMAIL = (
    r"[\w.+-]@[\w-]+\.[A-Za-z]{2}",
    re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}"),
)
_PHONE_HINT, _PHONE = r"\+[0-9][0-9 ()-]{8}", re.compile(r"(?<!\w)\+\d[\d ()-]{7,16}\d(?!\w)")
_CARD_HINT = r"[0-9][ -]?[0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}"
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
_IBAN_HINT = r"\b[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}"
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_SSN_HINT, _SSN = r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
_HARMLESS_EMAIL = re.compile(
    r"@(?:[\w-]+\.)*(?:example|test|invalid|localhost)(?:\.|$)|@\d+\.\d|noreply@|no-reply@", re.I
)


class Detector(msgspec.Struct, frozen=True):
    """Finds kinds of leaks in rows that hold the hint."""

    hint: str
    kinds: Callable[[str], Iterable[str]]
    is_secret: bool = False


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of secret or personal data: in how many rows, and the first few lines."""

    kind: str
    is_secret: bool
    rows: int
    lines: tuple[int, ...]


class LeakFinder:
    """Collects rows and looks at them in batches. `missing` names packages that are not installed."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._texts: list[str] = []
        self._lines: list[int] = []
        self._found: dict[tuple[str, bool], list[int]] = {}
        self._resources = ExitStack()
        self._detectors = [
            Detector(_EMAIL_HINT, _emails),
            Detector(_PHONE_HINT, lambda text: ["telephone number"] if _PHONE.search(text) else []),
            *self._secret_detector(),
            *self._number_detectors(),
        ]

    def add(self, line: int, text: str) -> None:
        """One row's text."""
        self._texts.append(text)
        self._lines.append(line)
        if len(self._texts) >= _BATCH_ROWS:
            self._look()

    def finish(self) -> list[Leak]:
        """Everything found, secrets first, the most frequent first."""
        self._look()
        self._resources.close()
        leaks = [
            Leak(kind=kind, is_secret=is_secret, rows=len(lines), lines=tuple(lines[:_SHOWN_LINES]))
            for (kind, is_secret), lines in self._found.items()
        ]
        return sorted(leaks, key=lambda leak: (not leak.is_secret, -leak.rows))

    def _look(self) -> None:
        import polars

        texts = polars.Series(self._texts, dtype=polars.String)
        for detector in self._detectors:
            for index in texts.str.contains(detector.hint).arg_true().to_list():
                for kind in set(detector.kinds(self._texts[index])):
                    self._found.setdefault((kind, detector.is_secret), []).append(self._lines[index])
        self._texts.clear()
        self._lines.clear()

    def _secret_detector(self) -> list[Detector]:
        try:
            from detect_secrets.core.scan import scan_line
            from detect_secrets.settings import transient_settings
        except ImportError:
            self.missing.append("detect-secrets")
            return []
        self._resources.enter_context(
            transient_settings({"plugins_used": [{"name": one} for one in _SECRET_PLUGINS]})
        )

        def secrets(text: str) -> Iterator[str]:
            # detect-secrets takes half a millisecond a line.
            for line in filter(_SECRET_HINT.search, text.splitlines()):
                yield from (str(found.type) for found in scan_line(line))

        return [Detector(_SECRET_HINTS, secrets, is_secret=True)]

    def _number_detectors(self) -> list[Detector]:
        try:
            from stdnum import iban, luhn
            from stdnum.us import ssn
        except ImportError:
            self.missing.append("python-stdnum")
            return []

        def is_card(text: str) -> bool:
            digits = re.sub(r"\D", "", text)
            # Issuers' first digits (3 to 6); a run of one digit passes Luhn but is a placeholder.
            return digits[0] in "3456" and len(set(digits)) > 2 and luhn.is_valid(digits)

        return [
            Detector(_CARD_HINT, _valid("payment card number", _CARD, is_card)),
            Detector(_IBAN_HINT, _valid("IBAN", _IBAN, iban.is_valid)),
            Detector(_SSN_HINT, _valid("US social security number", _SSN, ssn.is_valid)),
        ]


def _emails(text: str) -> list[str]:
    harmful = any(not _HARMLESS_EMAIL.search(found.group()) for found in _EMAIL.finditer(text))
    return ["e-mail address"] if harmful else []


def _valid(kind: str, pattern: re.Pattern[str], is_valid: Callable[[str], bool]) -> Callable[[str], list[str]]:
    """A detector's function for numbers that carry a check digit."""
    return lambda text: [kind] if any(is_valid(found.group()) for found in pattern.finditer(text)) else []
