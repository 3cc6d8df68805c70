"""A race on a terminal: who went how far at what cost, and the verdict in words."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table

from advisor.base.language import tr
from trainers import amounts
from trainers.plan import TrainingPlan
from trainers.scores.curve import Curve
from trainers.scores.intervals import Interval
from trainers.supervision.trials import PLAN
from trainers.supervision.verdict import Verdict


def race_table(found: Verdict) -> RenderableType:
    """One line a trial, the best first, and the untrained model."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(tr("trial"), overflow="fold")
    for name in (tr("loss"), tr("above the best"), tr("time"), tr("memory"), tr("predicted")):
        table.add_column(name, justify="right")
    for one in found.ranked:
        table.add_row(
            one.name,
            f"{one.loss:.4f}",
            _with_ends(one.over_best) if one.over_best else "",
            amounts.duration(one.seconds),
            amounts.size(one.memory_bytes) if one.memory_bytes else "",
            amounts.size(one.predicted_bytes) if one.predicted_bytes else "",
        )
    if found.base_loss is not None:
        table.add_row(tr("untrained"), f"{found.base_loss:.4f}", "", "", "", "")
    return table


def verdict_in_words(found: Verdict, plan: TrainingPlan) -> str:
    """Who won, by how much, how sure, against what the book had advised, at what cost."""
    seeds = max(one.seeds for one in found.ranked[:2])
    parts = [_winner(found), _base(found), _task(found), _book(found, plan)]
    if found.dropped:
        parts.append(tr("Stopped on the way: {names}.", names=", ".join(found.dropped)))
    time = amounts.duration(found.seconds)
    parts.append(
        tr("{time} in all, {seeds} seeds.", time=time, seeds=seeds)
        if seeds > 1
        else tr("{time} in all; one seed, so another may differ a little.", time=time)
    )
    return "\n".join(part for part in parts if part)


def _winner(found: Verdict) -> str:
    name = found.winner.name
    if name == PLAN:
        if len(found.ranked) == 1:
            return tr("Only the plan itself went to its end.")
        second = found.ranked[1]
        lower = _lower_by(second.over_best, sign=1) if second.over_best else ""
        if found.is_sure:
            return tr(
                "The plan wins: its loss is lower than that of {second} by {lower}.", second=second.name, lower=lower
            )
        return tr(
            "The plan has the lowest loss, but {second} cannot be told apart from it: lower by {lower}.",
            second=second.name,
            lower=lower or "?",
        )
    if found.over_plan is None:
        return tr("{name} has the lowest loss, but it was not judged on the rows of the plan.", name=name)
    lower = _lower_by(found.over_plan, sign=-1)
    if not found.is_sure:
        return tr(
            "{name} has the lowest loss, but whether it is better than the plan cannot be told: lower by {lower}.",
            name=name,
            lower=lower,
        )
    return tr("{name} wins: its loss is lower than the plan's by {lower}.", name=name, lower=lower) + _flags(found)


def _flags(found: Verdict) -> str:
    """What to type to get the winner's settings."""
    setting = {field: value for field, value in found.winner.setting.items() if value is not None}
    method = setting.pop("method", None)
    flags = [f"--{field.replace('_', '-')} {value}" for field, value in setting.items()]
    words = ["sft-advisor", "train", method, *flags] if method else flags
    return f" {' '.join(words)}" if words else ""


def _base(found: Verdict) -> str:
    change = found.over_base
    if change is None:
        return ""
    lower = _lower_by(change, sign=-1)
    if change.is_sure and change.value > 0:
        return tr(
            "The untrained model, asked the same, is better: the winner's loss is higher than its. Do not train."
        )
    return tr("Against the untrained model, asked the same, the winner's loss is lower by {lower}.", lower=lower)


def _task(found: Verdict) -> str:
    task = found.task
    if task is None or task.base is None or task.gain is None:
        return ""
    against = tr("the untrained model") if found.winner.name == PLAN else tr("the plan")
    return tr(
        "By {measure} ({why}) it has {ours}, {against} {theirs}: {gain}.",
        measure=task.measure.replace("_", " "),
        why=task.why,
        ours=amounts.percent(task.tuned.value),
        against=against,
        theirs=amounts.percent(task.base.value),
        gain=_with_ends(task.gain),
    )


def _book(found: Verdict, plan: TrainingPlan) -> str:
    """What had been predicted: of the methods by the book, of the memory by the model."""
    methods = {one.method for one in found.ranked}
    winner = found.winner.method
    if len(methods) < 2:
        return ""
    if winner == plan.method:
        return tr("The book had put {method} first as well.", method=plan.method)
    return tr("The book had put {planned} first, and here {winner} is.", planned=plan.method, winner=winner)


def curve_in_words(curve: Curve | None) -> str:
    """What more rows would gain."""
    if curve is None:
        return tr("What more data would gain cannot be told: the trials were not judged on the same rows.")
    gain = curve.gain
    pairs = zip(curve.trained, curve.losses, strict=True)
    steps = ", ".join(tr("{rows} rows: {loss}", rows=f"{rows:,}", loss=f"{loss:.4f}") for rows, loss in pairs)
    if not gain.is_sure:
        said = tr(
            "What another {rows} rows would gain cannot be told: between {low} and {high} nats per token.",
            rows=f"{curve.more_rows:,}",
            low="?" if gain.low is None else f"{gain.low:+.4f}",
            high="?" if gain.high is None else f"{gain.high:+.4f}",
        )
    elif gain.value > 0:
        said = tr(
            "Another {rows} rows like these would lower the loss by about {gain}.",
            rows=f"{curve.more_rows:,}",
            gain=_lower_by(gain, sign=1),
        )
    else:
        said = tr("More rows like these would gain nothing: the loss rose with the last ones.")
    return f"{steps}\n{said}\n" + tr(
        "Measured with one seed. What a larger model would gain is told by a race of its own."
    )


def _lower_by(change: Interval, sign: int) -> str:
    """The size of a difference with its ends; `sign` -1 where the interval is of the lower less the higher."""
    value = f"{sign * change.value:.4f}"
    if change.low is None or change.high is None:
        return tr("{value} nats per token ({rows} rows: too few for an interval)", value=value, rows=change.rows)
    low, high = sorted((sign * change.low, sign * change.high))
    return tr(
        "{value} nats per token ({low} to {high}, {rows} rows)",
        value=value,
        low=f"{low:.4f}",
        high=f"{high:.4f}",
        rows=change.rows,
    )


def _with_ends(change: Interval) -> str:
    if change.low is None or change.high is None:
        return f"{change.value:+.4f}"
    return f"{change.value:+.4f} ({change.low:+.4f} .. {change.high:+.4f})"
