"""What the templates need to show an answer: the recommendation, its headline figures, its rules and its guide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from advisor.base.language import later, tr
from advisor.decide.model_map import ModelMap
from advisor.decide.recommendation import Candidate, Recommendation, Verdict
from advisor.report import words
from advisor.report.commandlines import next_commands
from advisor.report.machine import one_line
from advisor.report.page import bars, guide, spoken
from advisor.report.page.model_map import picture
from rules.engine import RuleBook
from trainers import amounts

COMMANDS = {
    "save_plan": later("Save the plan"),
    "launch": later("Start it"),
    "export": later("Carry it to a cluster"),
    "explain": later("See every reason in the terminal"),
    "html": later("Make this report again"),
}
"""Name of a command -> what it is for, in the order in which they are of use."""


BADGES: dict[Verdict, str] = {
    "recommended": later("Recommended"),
    "nothing_fits": later("Nothing fits"),
    "do_not_fine_tune": later("Do not fine-tune"),
    "repair_first": later("Repair first"),
}
"""The verdict in two words."""


class Figure(NamedTuple):
    """One of the big figures."""

    title: str
    value: str
    note: str
    tone: bars.Tone = ""


Part = Literal["whole", "first", "more"]
"""What of an answer is shown: what is decided by stands in `first`, what it rests on in `more`."""


class Links(NamedTuple):
    """Where a page leads to and a file does not: addresses, or nothing."""

    tried: Callable[[str], str] = lambda flags: ""
    """Flags -> the page with them as answers."""
    explained: Callable[[str], str] = lambda topic: ""
    """A word of `explain` -> its page."""


def context(
    result: Recommendation,
    book: RuleBook,
    part: Part = "whole",
    links: Links | None = None,
    found: ModelMap | None = None,
) -> dict[str, Any]:
    """The variables of the templates that show an answer; `found` is what else this machine trains."""
    said = spoken.spoken(result)
    steps = guide.path(result, book, said)
    shown = result.best or (result.rejected[0] if result.rejected else None)
    return {
        "part": part,
        "links": links or Links(),
        "r": result,
        "badge": tr(BADGES[result.verdict]),
        "shown": shown,
        "cautions": [warning for warning in result.warnings if warning not in result.repairs],
        "situation": words.situation(result),
        "machine": one_line(result.hardware),
        "figures": figures(result, shown) if shown else [],
        "methods": bars.method_rows(result),
        "why": sorted(result.best.reasons, key=lambda trace: -trace.weight) if result.best else [],
        "said": said,
        "cited": lambda keys: spoken.cited(keys, book.sources),
        "settings": spoken.settings(result.best.plan, said) if result.best else [],
        "flows": {"wide": guide.flow(steps, columns=4), "narrow": guide.flow(steps, columns=1)},
        "commands": _commands(result),
        "picture": picture(found, result.model.name) if found else None,
    }


def _commands(result: Recommendation) -> list[tuple[str, str]]:
    lines = next_commands(result)
    return [(tr(title), lines[name]) for name, title in COMMANDS.items() if name in lines]


def figures(result: Recommendation, shown: Candidate) -> list[Figure]:
    """Memory, time, money where it has a price, and disk."""
    memory = shown.memory.device
    free = shown.available_bytes
    of_free = tr("up to {high}", high=amounts.size(memory.high)) + (
        tr(" of {free} free", free=amounts.size(free)) if free is not None else ""
    )
    tone: bars.Tone = "" if free is None else "good" if shown.fits else "bad"
    several = (
        tr("Memory of each GPU")
        if shown.plan.num_gpus > 1
        else tr("Memory")
        if shown.plan.accelerator == "cpu"
        else tr("GPU memory")
    )
    found = [Figure(several, amounts.size(memory.likely), of_free, tone)]
    if result.best is None:
        return found
    time = shown.time
    if time is None or time.total_seconds is None:
        found.append(Figure(tr("Time"), tr("not known"), words.why_no_time(shown)))
    else:
        span = words.duration_range(time.low_seconds, time.high_seconds)
        found.append(Figure(tr("Time"), amounts.duration(time.total_seconds), span))
    if cost := words.cost_usd(shown, result.hardware):
        low, high = cost
        offer = result.hardware.offer
        dated = tr("US dollars, price of {price_date}", price_date=offer.price_date) if offer else tr("US dollars")
        found.append(
            Figure(
                tr("Cost"),
                tr("{low:,.2f} to {high:,.2f}", low=low, high=high) if high else tr("free of charge"),
                dated,
            )
        )
    storage = shown.storage
    peak = tr("at most {peak_output_bytes} while it runs", peak_output_bytes=amounts.size(storage.peak_output_bytes))
    found.append(Figure(tr("Result on disk"), amounts.size(storage.artifact_bytes), peak))
    return found
