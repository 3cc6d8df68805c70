"""Personal data: addresses, telephone numbers, and numbers of cards, accounts and persons with a check digit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from advisor.base.language import tr
from advisor.data.leaks.trace import HARMLESS, Detector, Trace, is_placeholder_domain

CODES = ("email", "phone", "card", "iban", "ssn")
"""Names of the findings."""

# What a row has to hold to be looked at for each kind, in the syntax that Rust and Python share; then the pattern.
_EMAIL_HINT = r"[\w.+-]@[\w-]+\.[A-Za-z]{2}"
_EMAIL = re.compile(
    r"(?<![\w.+/-])([\w.+-]{1,64})@([\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.([A-Za-z]{2,24}))(?![\w-])", re.ASCII
)
_USER_INFO = re.compile(r"://[^/\s@]*$")
_PHONE_HINT, _PHONE = r"\+[0-9][0-9 ()-]{8}", re.compile(r"(?<![\w+])\+\d[\d ()-]{7,16}\d(?!\w)")
_CARD_HINT = r"[0-9][0-9 -]{12}"
_CARD = re.compile(
    r"(?<![\w.,/=-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{5}|\d{14,16})(?![\w/=-]|[.,]\d)"
)
_IBAN_HINT = r"[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4} ?[A-Z0-9]{3}"
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_SSN_HINT, _SSN = r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")

_CARD_WORDS = re.compile(r"card|visa|master|amex|american express|credit|debit|cvv|cvc|carte|karte|tarjeta|卡", re.I)
_NEARBY = 80
# Numbers kept for fiction: 555-01xx in North America, Ofcom's and the German regulator's.
_FICTION = re.compile(
    r"^1\d{3}555|^555|^44(?:20|161|121|113|114)?79460|^447700900|^44163296|^4930230125|^49(?:171)39200"
)
_FREE = re.compile(r"^1(?:800|888|877|866|855|844|833)|^44(?:800|808)|^49800|^33800|^86400")


def email_detector() -> Detector:
    """E-mail addresses of persons."""
    return Detector((_EMAIL_HINT,), _emails)


def phone_detector() -> Detector:
    """Telephone numbers written with a country code."""
    return Detector((_PHONE_HINT,), _phones)


def number_detectors() -> list[Detector]:
    """Numbers with a check digit. Raises ImportError without python-stdnum."""
    from stdnum import iban, luhn
    from stdnum.us import ssn

    def is_card(text: str) -> bool:
        digits = re.sub(r"\D", "", text)
        # Issuers' first digits (3 to 6) and their lengths; a run of one digit passes Luhn but is no number.
        is_issued = digits[0] in "3456" and len(digits) in ((14, 15) if digits[0] == "3" else (13, 16, 19))
        return is_issued and len(set(digits)) > 2 and luhn.is_valid(digits)

    return [
        Detector((_CARD_HINT,), _valid("card", tr("payment card number"), _CARD, is_card, _harmless_card)),
        Detector((_IBAN_HINT,), _valid("iban", "IBAN", _IBAN, iban.is_valid, _harmless_iban)),
        Detector((_SSN_HINT,), _valid("ssn", tr("US social security number"), _SSN, ssn.is_valid, _harmless_ssn)),
    ]


def _emails(text: str) -> Iterator[Trace]:
    for found in _EMAIL.finditer(text):
        local, domain, ending = found.group(1), found.group(2), found.group(3)
        yield Trace(
            code="email",
            name=tr("e-mail address"),
            place=found.start(),
            shown=f"'{local[:1]}…@{domain[:1]}….{ending}'",
            harmless=tr("part of an address")
            if _USER_INFO.search(text, max(0, found.start() - _NEARBY), found.start())
            else _harmless_email(text, local.lower().strip("."), domain.lower(), ending.lower()),
        )


def _harmless_email(text: str, local: str, domain: str, ending: str) -> str:
    if ending in HARMLESS["file_endings"] or domain[0].isdigit():
        return tr("no address")
    if is_placeholder_domain(domain):
        return tr("a made-up domain")
    if local in HARMLESS["stand_ins"]:
        return tr("a made-up person")
    if re.split(r"[.+_-]", local)[0] in HARMLESS["offices"] or local in HARMLESS["offices"]:
        return tr("an office, not a person")
    if re.search(rf"(?:www\.|://){re.escape(domain)}", text, re.IGNORECASE):
        return tr("published beside its site")
    return ""


def _phones(text: str) -> Iterator[Trace]:
    for found in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        harmless = ""
        if not 9 <= len(digits) <= 15 or re.search(r"\d [-+] \d", found.group()):
            harmless = tr("no number")
        elif _FICTION.search(digits) or re.search(r"(\d)\1{5}|123456|234567|987654", digits):
            harmless = tr("a made-up number")
        elif _FREE.search(digits):
            harmless = tr("an office, not a person")
        yield Trace(
            code="phone",
            name=tr("telephone number"),
            place=found.start(),
            shown=tr("'{group}…' ({num_digits} digits)", group=found.group()[:3], num_digits=len(digits)),
            harmless=harmless,
        )


def _harmless_card(text: str, found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found.group())
    if digits in HARMLESS["cards"] or re.search(r"(\d)\1{6}|12345678|01234567", digits):
        return tr("a test number")
    around = text[max(0, found.start() - _NEARBY) : found.end() + _NEARBY]
    return "" if found.group() != digits or _CARD_WORDS.search(around) else tr("a number among others")


def _harmless_iban(text: str, found: re.Match[str]) -> str:
    number = found.group().replace(" ", "")
    return tr("an example of the registry") if number in HARMLESS["ibans"] or len(set(number[4:])) < 4 else ""


def _harmless_ssn(text: str, found: re.Match[str]) -> str:
    return tr("a well-known example") if found.group() in HARMLESS["social_security_numbers"] else ""


def _valid(
    code: str,
    name: str,
    pattern: re.Pattern[str],
    is_valid: Callable[[str], bool],
    harmless: Callable[[str, re.Match[str]], str],
) -> Callable[[str], Iterator[Trace]]:
    """A detector's function for numbers that carry a check digit."""

    def find(text: str) -> Iterator[Trace]:
        for found in pattern.finditer(text):
            if is_valid(found.group()):
                yield Trace(
                    code=code,
                    name=name,
                    place=found.start(),
                    shown=tr(
                        "'{group}…' ({sum} characters)",
                        group=found.group()[:2],
                        sum=sum(map(str.isalnum, found.group())),
                    ),
                    harmless=harmless(text, found),
                )

    return find
