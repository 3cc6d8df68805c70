"""How well the memory model predicts published measurements.

    python tests/benchmarks/memory_accuracy.py FILE.csv [--json] [--output FILE.json] [--rows PREFIX]

FILE has the form of memory_measurements.csv. Each row is expressed as a model, a plan and a stack, the counter that
it reports is predicted, and the error is (predicted - measured) / measured. Rows that cannot be expressed are counted
and named. OOM rows, and rows that ran on a known card, also get a verdict: safe (the upper end of the device figure
fits), impossible (the lower end does not), or in between.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from advisor.estimate import Estimator
from tests.benchmarks.published import NotExpressed, Run, express, read_rows, source_of


class Prediction(NamedTuple):
    """One expressed row with what was predicted."""

    run: Run
    predicted: int
    high: int
    low_device: int
    high_device: int

    @property
    def error(self) -> float | None:
        """Signed relative error; None where only a card's size is known."""
        if self.run.value_bytes is None:
            return None
        return (self.predicted - self.run.value_bytes) / self.run.value_bytes

    @property
    def verdict(self) -> str | None:
        """safe, impossible or between; None when the card's memory is unknown."""
        capacity = self.run.capacity_bytes
        if capacity is None:
            return None
        if self.high_device <= capacity:
            return "safe"
        return "impossible" if self.low_device > capacity else "between"


def predict(run: Run) -> Prediction:
    """The counter that the row reports."""
    estimate = Estimator(run.model, run.plan, run.stack, lengths_vary=run.lengths_vary).estimate()
    bands = {"allocated": estimate.allocated, "reserved": estimate.reserved, "device": estimate.device}
    band = bands.get(run.counter, estimate.device)
    return Prediction(run, band.likely, band.high, estimate.device.low, estimate.device.high)


def predict_all(rows: Iterable[dict[str, str]]) -> tuple[list[Prediction], list[tuple[str, str]]]:
    """(predictions, (row id, why it cannot be expressed))."""
    predictions, left_out = [], []
    for row in rows:
        try:
            predictions.append(predict(express(row)))
        except NotExpressed as reason:
            left_out.append((row["id"], str(reason)))
        except ValueError as error:
            left_out.append((row["id"], f"cannot be read: {error}"))
    return predictions, left_out


def summary(predictions: list[Prediction]) -> dict[str, Any]:
    """Figures over one group of rows."""
    errors = [p.error for p in predictions if p.error is not None]
    ran = [p for p in predictions if not p.run.oom and p.verdict]
    failed = [p for p in predictions if p.run.oom and p.verdict]
    covered = [p.run.value_bytes <= p.high for p in predictions if p.run.value_bytes is not None]
    figures: dict[str, Any] = {"rows": len(predictions), "measured": len(errors)}
    if errors:
        sizes = sorted(abs(error) for error in errors)
        figures |= {
            "median_abs_error": statistics.median(sizes),
            "p90_abs_error": sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))],
            "bias": statistics.median(errors),
            "upper_band_covers": sum(covered) / len(covered),
        }
    figures["oom"] = dict(Counter(p.verdict for p in failed))
    figures["ran"] = dict(Counter(p.verdict for p in ran))
    return figures


def grouped(predictions: list[Prediction], key: Callable[[Prediction], str]) -> dict[str, dict[str, Any]]:
    """A summary for each value of `key`."""
    groups: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        groups[key(prediction)].append(prediction)
    return {name: summary(members) for name, members in sorted(groups.items())}


def report(rows: list[dict[str, str]]) -> dict[str, Any]:
    """The whole result as data."""
    predictions, left_out = predict_all(rows)
    graded = [p for p in predictions if p.run.grade in "AB"]
    return {
        "rows": len(rows),
        "expressed": len(predictions),
        "not_expressed": [{"id": name, "why": why} for name, why in left_out],
        "grades_a_and_b": summary(graded),
        "by_grade": grouped(predictions, lambda p: p.run.grade),
        "by_source": grouped(predictions, lambda p: f"{p.run.source} ({p.run.grade})"),
        "by_method": grouped(graded, lambda p: p.run.plan.method),
        "by_sharding": grouped(graded, lambda p: p.run.plan.sharding),
        "by_counter": grouped(graded, lambda p: p.run.counter),
    }


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:7.1f}"


def _lines(title: str, groups: dict[str, dict[str, Any]]) -> list[str]:
    head = f"{title:<18}{'rows':>6}{'measured':>9}{'med|e|':>8}{'p90|e|':>8}{'bias':>8}{'covered':>8}"
    out = [head + f"   {'OOM rows called':<24}rows that ran called"]
    for name, f in groups.items():
        figures = "".join(
            f"{_percent(f.get(key)):>8}" for key in ("median_abs_error", "p90_abs_error", "bias", "upper_band_covers")
        )
        verdicts = [", ".join(f"{k} {v}" for k, v in sorted(f[kind].items())) for kind in ("oom", "ran")]
        out.append(f"{name:<18}{f['rows']:>6}{f['measured']:>9}{figures}   {verdicts[0]:<24}{verdicts[1]}")
    return out


def as_text(result: dict[str, Any]) -> str:
    """The tables that a person reads; errors in percent."""
    lines = [f"{result['expressed']} of {result['rows']} rows expressed; errors in percent", ""]
    lines += [*_lines("grades", {"A and B": result["grades_a_and_b"]} | result["by_grade"]), ""]
    for name in ("source", "method", "sharding", "counter"):
        lines += [*_lines(name, result[f"by_{name}"]), ""]
    why: dict[str, list[str]] = defaultdict(list)
    for entry in result["not_expressed"]:
        why[entry["why"]].append(entry["id"])
    lines.append(f"Not expressed ({len(result['not_expressed'])}):")
    lines += [f"  {reason}: {', '.join(ids)}" for reason, ids in sorted(why.items())]
    return "\n".join(lines)


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--output", metavar="FILE.json", type=Path, help="write the figures as JSON there too")
    parser.add_argument("--rows", metavar="PREFIX", help="print every row of a source (or `all`) with its error")
    given = parser.parse_args()
    rows = read_rows(given.file)
    if given.rows:
        chosen = [row for row in rows if given.rows == "all" or source_of(row["id"]) == given.rows]
        for p in predict_all(chosen)[0]:
            measured = "" if p.run.value_bytes is None else f"{p.run.value_bytes / 2**30:8.2f}"
            error = "" if p.error is None else f"{100 * p.error:+7.1f}%"
            kind = f"{p.run.plan.method} {p.run.plan.sharding} {p.run.counter}"
            print(f"{p.run.id:<16}{kind:<28}{measured:>9}{p.predicted / 2**30:9.2f}{error:>9}  {p.verdict}")
        return 0
    result = report(rows)
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2) if given.json else as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
