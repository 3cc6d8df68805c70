"""The demo's tables for the terminal: what was changed in the plan, and what changed in the model."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from advisor.base.language import tr
from advisor.commands.demo.score import FormScore, read_form
from advisor.commands.demo.trial import Outcome, PlanChange, Sample
from advisor.decide.recommendation import Candidate, Recommendation
from advisor.report import words
from advisor.report.layout import rows, section
from trainers import amounts

SHOWN_SAMPLES = 3
SHOWN_REASONS = 3


def advice(result: Recommendation, best: Candidate) -> RenderableType:
    """The headline, whether it fits, and the strongest reasons."""
    lines: list[RenderableType] = [Text(result.headline, style="bold")]
    fits = tr(
        "{sizes} of {available_bytes} free",
        sizes=words.sizes(best.memory.device),
        available_bytes=amounts.size(best.available_bytes),
    )
    lines.append(Text(tr("memory  {fits}", fits=fits)))
    for trace in sorted(best.reasons, key=lambda trace: -abs(trace.weight))[:SHOWN_REASONS]:
        lines.append(Text.assemble((f"{trace.weight:+d}  ", "green"), trace.message))
    return Group(*lines)


def changes(advised: Candidate, made: Iterable[PlanChange]) -> RenderableType:
    """Each changed field: what the demo sets, and why."""
    table = rows("fold cyan", "bold", "fold dim")
    for change in made:
        table.add_row(change.field, words.plain(change.value), change.why)
    return table


def outcome(found: Outcome) -> RenderableType:
    """Both models side by side: forms, fields, loss, and samples."""
    parts: list[RenderableType] = [
        Text(
            tr("{of} requests whose wordings, models and cards training never showed", of=found.base.of), style="bold"
        ),
        _scores(found),
    ]
    if found.measured_peak_bytes and found.predicted_peak_bytes:
        peak = amounts.size(found.measured_peak_bytes)
        parts.append(
            Text(
                tr(
                    "peak memory {peak}, predicted up to {predicted_peak_bytes}",
                    peak=peak,
                    predicted_peak_bytes=amounts.size(found.predicted_peak_bytes),
                )
            )
        )
    if found.gain is not None and found.gain.low is not None and found.gain.high is not None:
        ends = {"low": f"{found.gain.low:+.0%}", "high": f"{found.gain.high:+.0%}"}
        value = f"{found.gain.value:+.0%}"
        parts.append(Text(tr("forms right: {value} ({low} to {high}, 95 %)", value=value, **ends)))
    if found.delivered_step is not None:
        parts.append(Text(tr("step {step} is delivered", step=found.delivered_step)))
    for sample in _telling(found.samples):
        parts += section(sample.request.replace("\n", " "), [_sample(sample)])
    return Group(*parts)


def _scores(found: Outcome) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right", style="green")
    table.add_row(tr("forms right in every field"), _of(found.base), _of(found.tuned))
    table.add_row(
        tr("fields right"), amounts.percent(found.base.field_share), amounts.percent(found.tuned.field_share)
    )
    for key in found.base.fields:
        shares = (score.fields[key] / score.of if score.of else 0.0 for score in (found.base, found.tuned))
        table.add_row(Text(f"  {key}", style="dim"), *(amounts.percent(share) for share in shares))
    table.add_row(tr("loss"), _loss(found.base_loss), _loss(found.tuned_loss))
    return table


def _of(score: FormScore) -> str:
    return tr("{exact} of {of}", exact=score.exact, of=score.of)


def _loss(loss: float | None) -> str:
    return "unknown" if loss is None else f"{loss:.3f}"


def _telling(samples: tuple[Sample, ...]) -> list[Sample]:
    """A few samples: the first, and one that the tuned model got wrong, if there is one."""
    wrong = [sample for sample in samples if read_form(sample.tuned)[0] != read_form(sample.reference)[0]]
    right = [sample for sample in samples if sample not in wrong]
    return [*right[: SHOWN_SAMPLES - min(1, len(wrong))], *wrong[:1]][:SHOWN_SAMPLES]


def _sample(sample: Sample) -> Table:
    table = rows("dim", "fold")
    table.add_row(tr("before"), _short(sample.base))
    correct = read_form(sample.tuned)[0] == read_form(sample.reference)[0]
    table.add_row(tr("after"), Text(_short(sample.tuned), style="green" if correct else "yellow"))
    if not correct:
        table.add_row(tr("wanted"), _short(sample.reference))
    return table


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 320 else line[:317] + "..."
