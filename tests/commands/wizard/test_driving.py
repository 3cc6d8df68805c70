"""The tests' own typist: a wizard that asks for more than was typed fails, and does not wait."""

from __future__ import annotations

import pytest

from tests.commands.wizard.driving import CTRL_C, ENTER, typed, wizard


@pytest.mark.timeout(60)
def test_a_question_that_nobody_answers_fails_at_once() -> None:
    with pytest.raises(AssertionError, match="more than was typed"), typed("Qwen3-8B" + ENTER):
        wizard().ask()


def test_ctrl_c_that_was_typed_is_still_heard() -> None:
    with pytest.raises(KeyboardInterrupt), typed(CTRL_C):
        wizard().ask()
