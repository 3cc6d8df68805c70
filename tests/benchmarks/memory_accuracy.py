"""How well the memory model predicts published measurements.

    python tests/benchmarks/memory_accuracy.py FILE.csv [--json] [--output FILE.json] [--rows PREFIX]

FILE has the form of memory_measurements.csv. Each row is expressed as a model, a plan and a stack, every counter that
it states is predicted, and the error is (predicted - measured) / measured. Rows that cannot be expressed are counted
and named. OOM rows, and rows that ran on a known card, also get a verdict: safe (the upper end of the device figure
fits), impossible (the lower end does not), or in between.

Told apart: Hugging Face stacks, which the product launches, and others; each by counter and for every grade; the
rows whose loss never held all logits under the default profile, as if our own trainer had run them; methods of peft
that no constant was fitted to; and rows whose length is only a cap, where the figure for the cap is an upper bound
and not a prediction. A row that leaves out what a prediction needs is told apart from one that states what the model
cannot say.
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
from advisor.estimate.result import Band, MemoryEstimate
from advisor.estimate.stacks import OURS, Stack
from tests.benchmarks.published import NotExpressed, NotStated, Run, express, read_rows, source_of


class Prediction(NamedTuple):
    """One expressed row with what was predicted."""

    run: Run
    estimate: MemoryEstimate

    def band(self, counter: str) -> Band:
        """The prediction of one counter; of the device where only a card is known."""
        bands = {"allocated": self.estimate.allocated, "reserved": self.estimate.reserved}
        return bands.get(counter, self.estimate.device)

    def error_of(self, counter: str) -> float | None:
        """Signed relative error of a counter; None where the row does not state it."""
        measured = self.run.measured.get(counter)
        return None if measured is None else self.band(counter).likely / measured - 1

    @property
    def error(self) -> float | None:
        """That of the row's main counter."""
        return self.error_of(self.run.counter)

    @property
    def verdict(self) -> str | None:
        """safe, impossible or between; None when the card's memory is unknown."""
        capacity = self.run.capacity_bytes
        if capacity is None:
            return None
        if self.estimate.device.high <= capacity:
            return "safe"
        return "impossible" if self.estimate.device.low > capacity else "between"


class LeftOut(NamedTuple):
    """A row that cannot be expressed."""

    id: str
    why: str
    stated: bool = True
    """Whether it says all that a prediction needs, so that the fault is ours."""


def predict(run: Run, stack: Stack | None = None) -> Prediction:
    """Every counter of a run, with its own stack or another."""
    estimator = Estimator(
        run.model, run.plan, stack or run.stack, lengths_vary=run.lengths_vary, room_bytes=run.capacity_bytes
    )
    return Prediction(run, estimator.estimate())


def predict_all(rows: Iterable[dict[str, str]]) -> tuple[list[Prediction], list[LeftOut]]:
    """(predictions, rows that cannot be expressed)."""
    predictions: list[Prediction] = []
    left_out: list[LeftOut] = []
    for row in rows:
        try:
            predictions.append(predict(express(row)))
        except NotExpressed as reason:
            left_out.append(LeftOut(row["id"], str(reason), stated=not isinstance(reason, NotStated)))
        except ValueError as error:
            left_out.append(LeftOut(row["id"], f"cannot be read: {error}"))
    return predictions, left_out


def summary(predictions: list[Prediction], counter: str | None = None) -> dict[str, Any]:
    """Figures over one group of rows, for one counter or for each row's main one."""
    named = [(p, counter or p.run.counter) for p in predictions]
    stated = [(p, name) for p, name in named if name in p.run.measured]
    errors = [p.band(name).likely / p.run.measured[name] - 1 for p, name in stated]
    figures: dict[str, Any] = {"rows": len(predictions), "measured": len(errors)}
    if errors:
        sizes = sorted(abs(error) for error in errors)
        figures |= {
            "median_abs_error": statistics.median(sizes),
            "p90_abs_error": sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))],
            "bias": statistics.median(errors),
            "upper_band_covers": statistics.fmean(p.run.measured[name] <= p.band(name).high for p, name in stated),
        }
    figures["oom"] = dict(Counter(p.verdict for p in predictions if p.run.oom and p.verdict))
    figures["ran"] = dict(Counter(p.verdict for p in predictions if not p.run.oom and p.verdict))
    return figures


def by_counter(predictions: list[Prediction]) -> dict[str, dict[str, Any]]:
    """A summary for each counter over the rows that state it."""
    return {
        name: summary(found, name)
        for name in ("allocated", "reserved", "device")
        if (found := [p for p in predictions if name in p.run.measured])
    }


def grouped(predictions: list[Prediction], key: Callable[[Prediction], str]) -> dict[str, dict[str, Any]]:
    """A summary for each value of `key`."""
    groups: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        groups[key(prediction)].append(prediction)
    return {name: summary(members) for name, members in sorted(groups.items())}


def report(rows: list[dict[str, str]]) -> dict[str, Any]:
    """The whole result as data."""
    every, left_out = predict_all(rows)
    predictions = [p for p in every if p.run.length_known or p.run.oom]
    graded = [p for p in predictions if p.run.grade in "AB"]
    own, others = ([p for p in graded if p.run.hugging_face is kind] for kind in (True, False))
    loose = [p for p in predictions if p.run.grade == "C"]
    default = [predict(p.run, OURS) for p in own if p.run.plan.loss_kernel != "full"]
    return {
        "rows": len(rows),
        "expressed": len(every),
        "not_stated": sum(not row.stated for row in left_out),
        "not_expressed": [{"id": row.id, "why": row.why, "stated": row.stated} for row in left_out],
        "grades_a_and_b": summary(graded),
        "hugging_face": by_counter(own),
        "other_stacks": by_counter(others),
        "default_profile": by_counter(default),
        "never_fitted": by_counter([p for p in own if p.run.stack.form != "lora"]),
        "grade_c_hugging_face": by_counter([p for p in loose if p.run.hugging_face]),
        "grade_c_other_stacks": by_counter([p for p in loose if not p.run.hugging_face]),
        "length_is_a_cap": by_counter([p for p in every if not p.run.length_known]),
        "by_grade": grouped(predictions, lambda p: p.run.grade),
        "by_source": grouped(every, lambda p: f"{p.run.source} ({p.run.grade})"),
        "by_method": grouped(graded, lambda p: p.run.plan.method),
        "by_sharding": grouped(graded, lambda p: p.run.plan.sharding),
        "by_counter": grouped(graded, lambda p: p.run.counter),
    }


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:7.1f}"


def _lines(title: str, groups: dict[str, dict[str, Any]]) -> list[str]:
    head = f"{title:<20}{'rows':>6}{'measured':>9}{'med|e|':>8}{'p90|e|':>8}{'bias':>8}{'covered':>8}"
    out = [head + f"   {'OOM rows called':<24}rows that ran called"]
    for name, f in groups.items():
        figures = "".join(
            f"{_percent(f.get(key)):>8}" for key in ("median_abs_error", "p90_abs_error", "bias", "upper_band_covers")
        )
        verdicts = [", ".join(f"{k} {v}" for k, v in sorted(f[kind].items())) for kind in ("oom", "ran")]
        out.append(f"{name:<20}{f['rows']:>6}{f['measured']:>9}{figures}   {verdicts[0]:<24}{verdicts[1]}")
    return out


GROUPS = {
    "hugging_face": "Hugging Face, A, B",
    "other_stacks": "others, A, B",
    "default_profile": "as default profile",
    "never_fitted": "peft's other forms",
    "grade_c_hugging_face": "Hugging Face, C",
    "grade_c_other_stacks": "others, C",
    "length_is_a_cap": "length only a cap",
}
"""Groups that are reported by counter, with their titles."""


def as_text(result: dict[str, Any]) -> str:
    """The tables that a person reads; errors in percent."""
    refused = len(result["not_expressed"]) - result["not_stated"]
    left = f"{result['not_stated']} leave out what a prediction needs, {refused} cannot be expressed"
    lines = [f"{result['expressed']} of {result['rows']} rows expressed, {left}; errors in percent", ""]
    lines += [*_lines("grades", {"A and B": result["grades_a_and_b"]} | result["by_grade"]), ""]
    for name, title in GROUPS.items():
        lines += [*_lines(title, result[name]), ""]
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
            predicted = p.band(p.run.counter).likely / 2**30
            print(f"{p.run.id:<16}{kind:<28}{measured:>9}{predicted:9.2f}{error:>9}  {p.verdict}")
        return 0
    result = report(rows)
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2) if given.json else as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
