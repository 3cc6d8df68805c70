"""The catalogues hold exactly what is said, all of it translated, with the same placeholders."""

import re
import string

import pytest

from advisor.base import language
from advisor.base.language import LANGUAGES, tr
from rules.rule import ENGLISH
from tests.languages.__main__ import brought_up_to_date, compiled, read, source, written
from tests.languages.sentences import spoken

OTHERS = [code for code in LANGUAGES if code != ENGLISH]
NAMES_AND_COMMANDS = 0.01
"""The share of sentences that may be."""
BRING = "run `make languages`, fill each empty msgstr, run it again"


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def flags(sentence: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+|`[^`]+`", sentence)) - {"`{choice}`"}


@pytest.mark.parametrize("code", OTHERS)
def test_nothing_is_missing_stale_or_unused(code: str) -> None:
    catalogue = read(code)
    held = {message.id for message in catalogue if message.id}
    new, gone = sorted(set(spoken()) - held), sorted(held - set(spoken()))
    assert not new, f"{len(new)} new sentences, such as {new[0]!r}; {BRING}"
    assert not gone, f"{len(gone)} are no longer said, such as {gone[0]!r}; {BRING}"
    empty = [message.id for message in catalogue if message.id and not message.string]
    assert not empty, f"{len(empty)} without a translation, such as {empty[0]!r}; {BRING}"


@pytest.mark.parametrize("code", OTHERS)
def test_a_sentence_is_translated_and_not_copied(code: str) -> None:
    """What is the same in every language is a command or the name of something."""
    said = [message for message in read(code) if message.id]
    copies = [message.id for message in said if message.string == message.id]
    assert len(copies) <= NAMES_AND_COMMANDS * len(said), f"{len(copies)} are English still, such as {copies[0]!r}"


@pytest.mark.parametrize("code", OTHERS)
def test_placeholders_flags_and_commands_are_those_of_the_english_sentence(code: str) -> None:
    for message in read(code):
        if message.id and message.string:
            assert fields(message.string) == fields(message.id), message.id
            assert flags(message.string) == flags(message.id), message.id


@pytest.mark.parametrize("code", OTHERS)
def test_what_is_read_at_run_time_is_what_people_edit(code: str) -> None:
    assert source(code).with_suffix(".mo").read_bytes() == compiled(read(code)), BRING
    assert source(code).read_bytes() == written(brought_up_to_date(code)), BRING


def test_a_sentence_is_said_in_the_language_in_use_and_in_english_where_it_has_none() -> None:
    assert tr("{count} steps", count=3) == "3 steps"
    language.use("zh_CN")
    try:
        assert tr("{count} steps", count=3) == "3 步"
        assert tr("nobody ever says this {count}", count=3) == "nobody ever says this 3"
        assert tr("") == ""
    finally:
        language.use(ENGLISH)
