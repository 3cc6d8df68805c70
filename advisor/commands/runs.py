"""What became of the runs: list them, watch one, compare two, talk to one, write its report.

sft-advisor runs                       the runs below ./runs, the newest first
sft-advisor runs compare A B           settings that differ, both curves in one chart, scores, answers
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.base.errors import EXIT_OK, InputError, Problem
from advisor.base.language import tr
from advisor.commands.following import require_one_run
from advisor.commands.numbers import COUNT
from advisor.commands.output import console, remark, show, write_file, write_json, write_text
from trainers.run_folder import layout

if TYPE_CHECKING:
    from advisor.report.runs import Difference
    from trainers.run_folder.summary import Summary

RUNS = Path("runs")
WATCH_SECONDS = 2.0
MOST_ANSWERS = 3
BESIDE_TRAINING = (
    *("schema", "set_by", "made_for", "output_dir", "predicted_peak_bytes"),
    *("dataset.files", "dataset.eval_files"),  # dataset.sha256 says whether they differ
)
"""Fields of a plan in which runs differ without training differently."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands; without one the runs are listed."""
    parser.set_defaults(act=_list, folder=RUNS, json=False)
    kinds = parser.add_subparsers(metavar="ACTION", title="actions")
    listed = kinds.add_parser("list", help="the runs in and below a folder, the newest first")
    listed.add_argument("folder", metavar="DIR", type=Path, nargs="?", default=RUNS)
    watched = kinds.add_parser("watch", help="one run as it goes: curve, memory, time left")
    watched.add_argument("run", metavar="RUN", type=Path)
    watched.add_argument("--once", action="store_true", help="show it as it is now, and end")
    compared = kinds.add_parser("compare", help="two runs beside each other")
    compared.add_argument("first", metavar="A", type=Path)
    compared.add_argument("second", metavar="B", type=Path)
    talked = kinds.add_parser("chat", help="ask base and tuned model the same, answers as they are written")
    talked.add_argument("run", metavar="RUN", type=Path)
    talked.add_argument("--ask", metavar="TEXT", help="one question instead of a conversation")
    talked.add_argument("--new-tokens", metavar="N", type=COUNT, default=256, help="longest answer, in tokens")
    kept = kinds.add_parser("retention", help="what the tune has cost: base and tuned on general questions")
    kept.add_argument("run", metavar="RUN", type=Path)
    scored = kinds.add_parser("score", help="the answers of a run by another measure, or one of your own")
    scored.add_argument("run", metavar="RUN", type=Path)
    scored.add_argument("--measure", metavar="NAME", required=True, help="a measure, regex:PATTERN, or a file.py")
    reported = kinds.add_parser("report", help="write the run's HTML report anew")
    reported.add_argument("run", metavar="RUN", type=Path)
    reported.add_argument("--output", metavar="FILE", type=Path, help="where to (default: RUN/report.html)")
    actions = ((listed, _list), (watched, _watch), (compared, _compare), (talked, _chat), (reported, _report))
    for kind, act in (*actions, (kept, _retention), (scored, _score)):
        kind.set_defaults(act=act)
        kind.add_argument("--json", action="store_true", help="the same as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    code: int = arguments.act(arguments)
    return code


def _list(arguments: argparse.Namespace) -> int:
    from trainers.run_folder.summary import find_runs, summarise

    folder: Path = arguments.folder
    found = [summarise(run_dir) for run_dir in find_runs(folder)]
    if arguments.json:
        write_json(found)
        return EXIT_OK
    if not found:
        remark(tr("no run in or below {folder}; another folder: sft-advisor runs list DIR", folder=folder))
        return EXIT_OK
    from advisor.report.runs import runs_table

    show(runs_table(found, folder, console().width))
    return EXIT_OK


def _watch(arguments: argparse.Namespace) -> int:
    from rich.live import Live

    from advisor.report.runs import live
    from trainers.run_folder.metrics import read_metrics

    run_dir: Path = arguments.run
    summary = summary_of(run_dir, "watch")
    if arguments.json:
        write_json(summary)
        return EXIT_OK
    screen = console()

    def frame(summary: Summary) -> Any:
        return live(summary, read_metrics(run_dir), screen.width)

    if arguments.once or not summary.is_running or not screen.is_terminal:
        show(frame(summary))
        return EXIT_OK
    with Live(frame(summary), console=screen, auto_refresh=False) as shown:
        for summary in _until_over(run_dir):
            shown.update(frame(summary), refresh=True)
    return EXIT_OK


def _until_over(run_dir: Path) -> Iterator[Summary]:
    """The run again and again, the last time when it is over."""
    goes_on = True
    while goes_on:
        time.sleep(WATCH_SECONDS)
        summary = summary_of(run_dir, "watch")
        goes_on = summary.is_running
        yield summary


def _compare(arguments: argparse.Namespace) -> int:
    from advisor.report.runs import beside
    from trainers.run_folder.metrics import read_metrics

    found = difference_of(summary_of(arguments.first, "compare"), summary_of(arguments.second, "compare"))
    if arguments.json:
        write_json(found)
        return EXIT_OK
    show(beside(found, read_metrics(arguments.first), read_metrics(arguments.second), console().width))
    return EXIT_OK


def _chat(arguments: argparse.Namespace) -> int:
    from advisor.commands.children import read_child, run_child
    from advisor.report.documents import Asked
    from trainers.foreign.records import decode

    _require_result(arguments.run, "chat")
    words = [arguments.run, "--new-tokens", str(arguments.new_tokens)]
    words += [f"--ask={arguments.ask}"] if arguments.ask is not None else []
    if not arguments.json:
        remark(tr("loading both models"))
        return run_child("trainers.training.chat", *words)
    if arguments.ask is None:
        raise InputError(
            Problem(
                what=tr("--json needs a question"), why=tr("a conversation has no end"), fix='--ask "How are you?"'
            )
        )
    code, said = read_child("trainers.training.chat", *words, "--json")
    if code == EXIT_OK:
        write_json(decode(said, Asked))
    return code


def _require_result(run_dir: Path, action: str) -> Summary:
    """The run. Raises InputError where it has left nothing that could be asked."""
    summary = summary_of(run_dir, action)
    if not (run_dir / layout.RESULT).is_dir():
        raise InputError(
            Problem(
                what=tr("{run} has no result to talk to", run=run_dir),
                why=tr("the run is {state}", state=tr(summary.state)),
                fix=f"sft-advisor runs resume {run_dir}",
            )
        )
    return summary


def _retention(arguments: argparse.Namespace) -> int:
    from advisor.commands.children import read_child
    from advisor.report.runs import Retained
    from trainers.foreign.records import decode
    from trainers.handover.judgement import kept_of

    _require_result(arguments.run, "retention")
    code, said = read_child("trainers.training.retention", arguments.run)
    if code != EXIT_OK:
        return code
    if arguments.json:
        write_json(decode(said, Retained))
    else:
        write_text("\n".join(kept_of(summary_of(arguments.run, "retention"))))
    return EXIT_OK


def _score(arguments: argparse.Namespace) -> int:
    """The answers in samples.json, measured anew; no model is loaded."""
    import msgspec

    from advisor.report.runs import Scored, compared_in_words
    from trainers.foreign.files import json_object
    from trainers.scores.measures import Chosen, compare

    summary_of(arguments.run, "score")
    found = (json_object(arguments.run / layout.SAMPLES) or {}).get("samples")
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    texts = {name: [str(row.get(name) or "") for row in rows] for name in ("reference", "base", "tuned")}
    chosen = Chosen(measure=arguments.measure, why=tr("as asked"))
    try:
        scores = compare(chosen, texts["reference"], texts["base"], texts["tuned"])
    except ValueError as error:
        raise InputError(Problem(what=str(error), fix="--measure token_f1")) from error
    if scores is None:
        raise InputError(
            Problem(
                what=tr("{run} holds no answers", run=arguments.run),
                why=tr("nothing was kept back, or the run has not ended"),
                fix="sft-advisor runs list",
            )
        )
    if arguments.json:
        write_json(msgspec.convert(scores, Scored, from_attributes=True))
    else:
        write_text(compared_in_words(scores))
    return EXIT_OK


def _report(arguments: argparse.Namespace) -> int:
    from advisor.report.runs import Reported
    from trainers.handover.judgement import judge
    from trainers.handover.report import render
    from trainers.run_folder.metrics import read_metrics

    summary = summary_of(arguments.run, "report")
    target: Path = arguments.output or arguments.run / layout.REPORT
    write_file(target, render(arguments.run).encode())
    if arguments.json:
        judged = tuple(judge(summary, read_metrics(arguments.run)))
        write_json(Reported(report=str(target), run=summary, judgement=judged))
    else:
        write_text(str(target))
    return EXIT_OK


def summary_of(run_dir: Path, action: str) -> Summary:
    """One run, for an action under `runs`. Raises InputError for a folder that is none, or that holds several."""
    from trainers.run_folder.summary import summarise

    require_one_run(run_dir, f"runs {action}")
    return summarise(run_dir)


def difference_of(first: Summary, second: Summary) -> Difference:
    """What differs between two runs, with an interval where both were judged on the same rows."""
    from advisor.report.runs import Difference
    from trainers.foreign.files import json_object
    from trainers.plan import plan_to_dict
    from trainers.run_folder.summary import plan_of
    from trainers.scores.rows import change_of_loss

    plans = [_settings(plan_to_dict(plan)) if (plan := plan_of(one.folder)) else {} for one in (first, second)]
    found = [json_object(one.folder / layout.SAMPLES) or {} for one in (first, second)]
    return Difference(
        first=first,
        second=second,
        settings={
            name: (plans[0].get(name), plans[1].get(name))
            for name in {**plans[0], **plans[1]}
            if plans[0].get(name) != plans[1].get(name)
        },
        loss_change=change_of_loss(found[0], found[1]),
        samples=_both_answered(found[0], found[1]),
    )


def _settings(plan: dict[str, Any], within: str = "") -> dict[str, Any]:
    """What a plan sets, those of its parts as `dataset.source`; what says nothing of the training left out."""
    found: dict[str, Any] = {}
    for name, value in plan.items():
        whole = within + name
        if whole not in BESIDE_TRAINING:
            found |= _settings(value, f"{whole}.") if isinstance(value, dict) else {whole: value}
    return found


def _both_answered(first: dict[str, Any], second: dict[str, Any]) -> tuple[dict[str, str], ...]:
    """The first few questions that both runs were asked."""

    def answered(found: dict[str, Any]) -> dict[tuple[str, str], str]:
        samples = found.get("samples")
        rows = [one for one in samples if isinstance(one, dict)] if isinstance(samples, list) else []
        return {(str(row.get("prompt")), str(row.get("reference"))): str(row.get("tuned") or "") for row in rows}

    ours, theirs = answered(first), answered(second)
    same = [key for key in ours if key in theirs][:MOST_ANSWERS]
    return tuple({"prompt": key[0], "reference": key[1], "first": ours[key], "second": theirs[key]} for key in same)
