"""The templates, and the one way in which they are filled: escaped, with marks that turn text made visible."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.ask.questions import BY_KEY
from advisor.base.language import tr
from advisor.report import words
from advisor.report.page import bars, chart
from trainers import amounts
from trainers.foreign.text import terminal
from trainers.method import METHODS

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")


@cache
def environment() -> Environment:
    """Jinja with this room's templates, filters and functions."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    page = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_marks,
    )
    page.filters |= {
        "size": amounts.size,
        "count": amounts.count,
        "plain": words.plain,
        "method": lambda method: tr(METHODS[method].title),
        "origin": lambda origin: tr(words.ORIGIN_NAMES[origin]) if origin in words.ORIGIN_NAMES else origin,
        "prompt": lambda key: tr(BY_KEY[key].prompt or "") if key in BY_KEY else key,
    }
    page.globals |= {
        "tr": tr,
        "answer": words.answer,
        "card_bars": bars.card_bars,
        "dataset_line": words.dataset_line,
        "components": words.COMPONENT_NAMES,
        "disk_lines": words.disk_lines,
        "offer_lines": words.offer_lines,
        "outcome": words.outcome,
        "phase_bars": bars.phase_bars,
        "shown_parts": bars.shown_parts,
        "sizes": words.sizes,
        "step_chart": chart.step_chart,
        "time_lines": words.time_lines,
    }
    return page


def _without_marks(value: Any) -> Any:
    """What a template prints; autoescape does the rest."""
    return terminal(value) if type(value) is str else value


def asset(name: str) -> str:
    """A style or a script of ours, as text."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
