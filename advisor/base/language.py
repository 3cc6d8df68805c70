"""The language that people are spoken to in. English sentences are the keys of the catalogues in advisor/languages.

Chosen by `--lang`, else SFT_ADVISOR_LANG, else the locale (LC_ALL, LC_MESSAGES, LANG). A sentence without a
translation stays English. Flags, ids, file names and JSON keys are never translated; English reads no catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from advisor.base.errors import InputError, Problem, nearest
from rules import language as rules_language
from rules.language import current
from rules.rule import ENGLISH
from trainers import language as spoken
from trainers.language import Later, later, tr

__all__ = ["Later", "choose", "current", "later", "tr", "use"]

LANGUAGES = {ENGLISH: "English", "zh_CN": "简体中文"}
"""Code -> its own name."""
FOLDER = Path(__file__).parents[1] / "languages"
DOMAIN = "sft_advisor"
VARIABLE = "SFT_ADVISOR_LANG"
_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")
_CLOSE = {"zh": "zh_CN", "zh_SG": "zh_CN", "zh_HANS": "zh_CN", "zh_HANS_CN": "zh_CN"}


def use(language: str) -> None:
    """Speak this language of LANGUAGES from now on."""
    spoken.use(None if language == ENGLISH else FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.mo")
    rules_language.use(language, None if language == ENGLISH else tr)


def choose(wanted: str | None, environment: Mapping[str, str]) -> str:
    """The code of the language to speak. Raises InputError for one that is asked for by name and is not there."""
    asked = wanted or environment.get(VARIABLE)
    if asked:
        code = _known(asked)
        if code is None:
            there = ", ".join(f"{code} ({name})" for code, name in LANGUAGES.items())
            close = nearest(asked, LANGUAGES)
            raise InputError(
                Problem(
                    what=tr("there is no language {asked!r}", asked=asked),
                    why=tr("there are {there}", there=there),
                    fix=f"--lang {close or ENGLISH}" if wanted else f"{VARIABLE}={close or ENGLISH}",
                )
            )
        return code
    locale = next((environment[name] for name in _LOCALE if environment.get(name)), "")
    return _known(locale) or ENGLISH


def _known(name: str) -> str | None:
    """`zh_CN.UTF-8`, `zh-cn`, `zh-Hans` -> zh_CN; None for a language without a catalogue."""
    plain = name.partition(".")[0].partition("@")[0].replace("-", "_")
    codes = {code.lower(): code for code in LANGUAGES} | {short.lower(): code for short, code in _CLOSE.items()}
    of_every_country = plain.lower().partition("_")[0]  # fr_CA is read where there is one French, zh_TW is not zh_CN
    return codes.get(plain.lower()) or next((code for code in LANGUAGES if code == of_every_country), None)
