"""Secrets and personal data in the examples: found by detect-secrets and python-stdnum in the rows that look suspect.

    leaks = LeakFinder()
    leaks.add(line, text)        # for every row
    leaks.finish()               # -> list[Leak]

A fast pattern (Rust, through polars) picks the rows that could hold something; only these are looked at closely. What
was found is told by its kind and line, never by its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import msgspec

_BATCH_ROWS = 4096
_SHOWN_LINES = 5

# What a row has to hold to be looked at; each line belongs to a detector below.
_SUSPECT = "|".join(
    (
        r"AKIA|ASIA|ABIA|A3T[A-Z0-9]",
        r"gh[pousr]_|github_pat_|glpat-|npm_|pypi-AgE",
        r"sk-[A-Za-z0-9]|[sr]k_live_|xox[abposr]-|SG\.[\w-]|AIza",
        r"eyJ[A-Za-z0-9_-]{10}",
        r"-----BEGIN",
        r"://[^/\s:@]+:[^/\s:@]+@",
        r"AccountKey=|-us[0-9]{1,2}\b|[0-9]{8,10}:[\w-]{35}|AC[a-f0-9]{32}",
        r"[\w.+-]@[\w-]+\.[A-Za-z]{2}",
        r"[0-9][ -]?[0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}",
        r"\b[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}",
        r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b",
        r"\+[0-9][0-9 ()-]{8}",
    )
)
_SECRET_PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector",
    "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
"""Those that know a token's form. The guesses by entropy and by keyword find a "secret" in every third chat."""

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_SSN = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")
_PHONE = re.compile(r"(?<!\w)\+\d[\d ()-]{7,16}\d(?!\w)")
_HARMLESS_EMAIL = re.compile(
    r"@(?:[\w-]+\.)*(?:example|test|invalid|localhost)(?:\.|$)|@\d+\.\d|noreply@|no-reply@", re.I
)


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
        self._scan_line = self._secret_scanner()
        self._checks = self._number_checks()

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

        suspect = polars.Series(self._texts, dtype=polars.String).str.contains(_SUSPECT)
        for index in suspect.arg_true().to_list():
            for kind, is_secret in set(self._kinds(self._texts[index])):
                self._found.setdefault((kind, is_secret), []).append(self._lines[index])
        self._texts.clear()
        self._lines.clear()

    def _kinds(self, text: str) -> Iterator[tuple[str, bool]]:
        if self._scan_line:
            for line in text.splitlines():
                yield from ((str(found.type), True) for found in self._scan_line(line))
        if any(not _HARMLESS_EMAIL.search(found.group()) for found in _EMAIL.finditer(text)):
            yield "e-mail address", False
        if _PHONE.search(text):
            yield "telephone number", False
        for kind, pattern, is_valid in self._checks:
            if any(is_valid(found.group()) for found in pattern.finditer(text)):
                yield kind, False

    def _secret_scanner(self) -> Callable[[str], Any] | None:
        try:
            from detect_secrets.core.scan import scan_line
            from detect_secrets.settings import transient_settings
        except ImportError:
            self.missing.append("detect-secrets")
            return None
        settings = {"plugins_used": [{"name": name} for name in _SECRET_PLUGINS]}
        self._resources.enter_context(transient_settings(settings))
        scanner: Callable[[str], Any] = scan_line
        return scanner

    def _number_checks(self) -> list[tuple[str, re.Pattern[str], Callable[[str], bool]]]:
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
            ("payment card number", _CARD, is_card),
            ("IBAN", _IBAN, iban.is_valid),
            ("US social security number", _SSN, ssn.is_valid),
        ]
