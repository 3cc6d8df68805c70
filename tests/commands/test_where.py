"""sft-advisor where: the table, the JSON, dates and budgets, and what is refused."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest

from advisor.base.errors import EXIT_BAD_INPUT, EXIT_NOTHING_FITS, EXIT_OK
from advisor.commands.numbers import UnusableError
from advisor.commands.where import hours_until

MODEL = ("where", "--model", "Qwen3-4B", "--method", "qlora")
NOW = datetime(2026, 11, 29, 18, 30)


def test_the_table_names_places_prices_with_their_day_and_how_a_run_goes_on(run) -> None:
    code, out, _ = run(*MODEL, "--data-examples", "20000", "--data-total-tokens", "10000000", "t4")
    assert code == EXIT_OK and "Cheapest: Kaggle 2x T4" in out and "free" in out
    row = next(line for line in out.splitlines() if "Google Colab T4 (free)" in line)
    assert "sessions)" in row and "T4" in row
    assert "`sft-advisor runs resume RUN_DIR`" in " ".join(out.split()) and "prices of" in out


def test_every_place_without_a_mark_is_behind_one_that_has_it(run) -> None:
    _, out, _ = run("where", "--model", "Qwen3-8B", "--method", "lora", "--data-examples", "20000")
    rows = [line.split() for line in out.splitlines() if re.match(r"[ \d]\d [ *s]", line)]
    marked = {row[0] for row in rows if row[1] in {"*", "s", "*s"}}
    assert len(marked) < len(rows)
    assert all(row[-1] in marked for row in rows if row[0] not in marked)


def test_json_holds_every_offer_with_its_source(run) -> None:
    code, out, _ = run(*MODEL, "--json", "lambda")
    document = json.loads(out)
    assert (code, document["schema"], document["method"]) == (EXIT_OK, "sft-advisor/where/v1", "qlora")
    assert all(offer["source"] and offer["price_date"] for offer in document["offers"])
    offer = document["offers"][0]
    assert offer["usd"] == pytest.approx(offer["usd_per_hour"] * offer["hours"])


def test_a_budget_too_small_says_what_it_pays_for(run) -> None:
    code, out, _ = run("where", "--model", "Qwen3-8B", "--method", "full", "--budget", "0.6", "lambda")
    assert code == EXIT_NOTHING_FITS and "pay" in out and "% of the run" in out and "of the examples" in out


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("12h", 12),
        ("90m", 1.5),
        ("2 days", 48),
        ("tomorrow", 14.5),
        ("2026-12-01", 38.5),
        ("2026-11-29T20:30", 2),
        ("2026-11-29 20:30", 2),
    ],
)
def test_a_time_in_words_is_hours_from_now(text: str, hours: float) -> None:
    assert hours_until(text, NOW) == pytest.approx(hours)


@pytest.mark.parametrize("text", ["yesterday", "2026-11-28", "soon", "-3h", ""])
def test_no_time_and_a_time_that_has_passed_are_refused(text: str) -> None:
    with pytest.raises(UnusableError):
        hours_until(text, NOW)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hardware", "RTX 4090"], "looks at every machine"),
        (["--budget", "0"], "a number above 0 is expected"),
        (["--by", "never"], "it is no time"),
        (["nosuchprovider"], "no place or GPU"),
        (["--prices", "/no/such/file.toml"], "no prices"),
    ],
)
def test_what_cannot_be_asked_is_refused(run, arguments: list[str], said: str) -> None:
    code, _, error = run(*MODEL, *arguments)
    assert code == EXIT_BAD_INPUT and said in error
