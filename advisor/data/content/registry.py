"""Every examiner of single rows, in the order in which their findings are shown."""

from __future__ import annotations

from advisor.data.content import (
    blanks,
    calls,
    characters,
    dialogues,
    habits,
    marks,
    media,
    order,
    rendered,
    steps,
    thoughts,
    unfilled,
)
from advisor.data.content.examiner import Examiner

EXAMINERS: tuple[Examiner, ...] = (
    *calls.EXAMINERS,
    *steps.EXAMINERS,
    *thoughts.EXAMINERS,
    *order.EXAMINERS,
    *dialogues.EXAMINERS,
    *marks.EXAMINERS,
    *media.EXAMINERS,
    *rendered.EXAMINERS,
    *unfilled.EXAMINERS,
    *blanks.EXAMINERS,
    *characters.EXAMINERS,
    *habits.EXAMINERS,
)
"""A new module of examiners is added here; the check, its fixes and the tests walk this tuple."""
