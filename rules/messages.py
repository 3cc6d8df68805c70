"""Messages of rules: templates with `{fact.path}` placeholders, rendered by the unit of the fact."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rules.facts import BY_PATH
from rules.language import tr

PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_.]*)(?::([a-z]+))?\}")
UNITS = ("bytes", "tokens", "seconds", "percent", "count", "short", "plain")
GIB = 1024**3


def placeholders(template: str) -> tuple[tuple[str, str], ...]:
    """Names and units that a template asks for; the unit is "" where the fact's own is meant."""
    return tuple((match[1], match[2] or "") for match in PLACEHOLDER.finditer(template))


def stray_braces(template: str) -> bool:
    """Whether braces are left that are not a placeholder: a misspelt one."""
    return bool(re.search(r"[{}]", PLACEHOLDER.sub("", template)))


def render(template: str, facts: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """The template with every placeholder replaced; what is not known reads "unknown"."""

    def replace(match: re.Match[str]) -> str:
        name, unit = match[1], match[2] or ""
        fact = BY_PATH.get(name)
        value = figures[name] if name in figures else facts.get(name)
        if isinstance(value, str) and " " in value:
            return tr(value)  # words that an expression of the rule chooses; a name stays as it is
        return format_value(value, unit or (fact.unit if fact else ""))

    return PLACEHOLDER.sub(replace, template)


def format_value(value: Any, unit: str = "") -> str:
    """A value for a person: bytes as GiB, counts with thousands separators, None as "unknown"."""
    if value is None:
        return tr("unknown")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    if isinstance(value, str):
        return value
    return _format_number(value, unit)


def _format_number(value: float, unit: str) -> str:
    by_unit = {"bytes": _format_bytes, "seconds": _format_seconds, "percent": _format_percent, "short": _format_short}
    if unit in by_unit:
        return by_unit[unit](value)
    if isinstance(value, int) or unit in ("tokens", "steps", "count"):
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.005:
        digits, _, exponent = f"{value:.1e}".partition("e")
        return f"{digits.removesuffix('.0')}e{int(exponent)}"
    return f"{value:,.4g}"


def _format_percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _format_bytes(value: float) -> str:
    if abs(value) >= 0.95 * GIB:
        return f"{value / GIB:,.1f} GiB"
    if abs(value) >= 1024**2:
        return f"{value / 1024**2:,.0f} MiB"
    return f"{value:,.0f} bytes"


def _format_seconds(value: float) -> str:
    if value < 90:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _format_short(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
