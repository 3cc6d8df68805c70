"""`make languages`: take new sentences into the catalogues, mark what is gone, and compile them.

    python -m tests.languages

A new sentence comes in without a translation; a translator fills `msgstr` and runs this again.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from advisor.base.language import DOMAIN, FOLDER, LANGUAGES
from rules.rule import ENGLISH
from tests.languages.sentences import spoken

SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
"""The same bytes on every day: what the catalogue holds decides, not when it was written."""


def source(language: str) -> Path:
    """The catalogue of a language that people edit."""
    return FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def read(language: str) -> Catalog:
    """The catalogue of a language as it stands; empty for a new one."""
    path = source(language)
    if not path.exists():
        return Catalog(locale=language, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def brought_up_to_date(language: str) -> Catalog:
    """The catalogue with exactly the sentences that are said today, and the translations that still fit."""
    kept = {message.id: message.string for message in read(language) if message.id and not message.fuzzy}
    catalogue = Catalog(locale=language, project="sft-advisor", version="", fuzzy=False)
    catalogue.header_comment = f"# What sft-advisor says, in {LANGUAGES[language]}."
    catalogue.creation_date = catalogue.revision_date = SOME_DAY
    for sentence, place in sorted(spoken().items(), key=lambda item: (item[1], item[0])):
        catalogue.add(sentence, kept.get(sentence, ""), locations=[(place, None)])
    return catalogue


def compiled(catalogue: Catalog) -> bytes:
    """What gettext reads."""
    buffer = BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def written(catalogue: Catalog) -> bytes:
    """What people edit."""
    buffer = BytesIO()
    write_po(buffer, catalogue, width=118, omit_header=False, include_lineno=False)
    return buffer.getvalue()


def main() -> int:
    """Write every catalogue; print how many sentences of each wait for a translator."""
    for language in LANGUAGES:
        if language == ENGLISH:
            continue
        catalogue = brought_up_to_date(language)
        path = source(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written(catalogue))
        path.with_suffix(".mo").write_bytes(compiled(catalogue))
        missing = [message.id for message in catalogue if message.id and not message.string]
        print(f"{language}: {len(catalogue)} sentences, {len(missing)} without a translation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
