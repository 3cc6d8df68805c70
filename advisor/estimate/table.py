"""The table of constants in README.md: `python -m advisor.estimate.table` writes it again."""

from __future__ import annotations

from pathlib import Path

from advisor.estimate import file_sizes, rates  # noqa: F401 (register the constants of disk and time)
from advisor.estimate.constants import CONSTANTS

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- constants: generated -->", "<!-- end of constants -->"


def constants_table() -> str:
    """Every constant as a row of a Markdown table."""
    rows = ["| constant | value | unit | kind | meaning | source |", "| --- | --- | --- | --- | --- | --- |"]
    for one in CONSTANTS:
        value = f"{one.value:,}" if isinstance(one.value, int) else f"{one.value:g}"
        rows.append(f"| `{one.name}` | {value} | {one.unit} | {one.kind} | {one.meaning} | {one.source} |")
    return "\n".join(rows)


def renewed(text: str) -> str:
    """The README with its table replaced."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{constants_table()}\n{END}{tail}"


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
