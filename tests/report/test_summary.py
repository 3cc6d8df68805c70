"""The short answer: one screen that holds the verdict, the figures, the methods side by side and what next."""

from __future__ import annotations

import pytest

from advisor.decide.recommendation import Caution, Change
from advisor.report.summary import MOST_LINES, summary
from tests.report import made_by_hand as made
from tests.report.test_terminal import one_paragraph, printed


@pytest.mark.parametrize("width", [40, 80, 140])
@pytest.mark.parametrize("make", [made.recommendation, made.nothing_fits, made.gated])
def test_it_is_short_and_no_line_is_wider_than_the_terminal(make, width):
    lines = printed(summary(make()), width).splitlines()
    assert all(len(line) <= width for line in lines)
    assert len(lines) <= 25 or width == 40


def test_it_holds_the_figures_the_reasons_and_the_methods():
    shown = one_paragraph(printed(summary(made.recommendation()), 140))
    for part in (
        "Fine-tune Qwen3-8B with LoRA of rank 16",
        "up to 19.6 GiB, of 23.0 GiB free",
        "time 2 h 36 min",
        "disk 840 MiB at most in runs",
        "rank 16, learning rate 2e-4, 3 passes, 16 rows of up to 2,048 tokens a step, packed",
        "2.0M answer tokens fit in an adapter of rank 16.",
        "! GPU 1 is in use by another process. -> Stop it.",
        "with a card of 16 GB QLoRA --hardware",
    ):
        assert part in shown, part
    standings = [
        line.split()[-1] for line in printed(summary(made.recommendation()), 140).splitlines() if "GiB  " in line
    ]
    assert standings == ["advised", "possible", "fit"]


def test_what_is_left_out_is_counted():
    cautions = tuple(Caution(message=f"Warning {number}.") for number in range(MOST_LINES + 2))
    shown = printed(summary(made.recommendation(warnings=cautions)))
    assert "Warning 2." in shown
    assert "Warning 3." not in shown
    assert "and 2 more: sft-advisor explain last" in shown


def test_a_change_that_leads_to_no_fine_tuning_says_so():
    change = Change(
        what="40 examples like these", flag="--data-examples 40", method="qlora", verdict="do_not_fine_tune"
    )
    shown = one_paragraph(printed(summary(made.recommendation(changes=(change,)))))
    assert "with 40 examples like these do not fine tune --data-examples 40" in shown


def test_a_gate_advises_no_method():
    shown = printed(summary(made.gated()))
    assert "advised" not in shown
    assert "if at all" in shown
