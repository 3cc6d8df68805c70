"""What the other pages show, worked out in a worker process: data, plan, export, explanations, runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from advisor.base.errors import AdvisorError, InputError, Problem
from advisor.base.language import tr
from advisor.commands.failures import explain_failure
from advisor.commands.ui import desk
from rules.errors import RuleError
from trainers.errors import RunError
from trainers.foreign.text import shell_line
from trainers.plan import PlanError
from trainers.run_folder import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from advisor.decide.recommendation import Recommendation
    from advisor.report.page.frame import Frame
    from advisor.report.page.runs import Phase

TOLD = (AdvisorError, RunError, PlanError, RuleError)
"""Errors that are told to the person as they are."""
LAUNCH_LOG = "launch.log"
"""In the run folder: what the command said that the page started."""


class Started(NamedTuple):
    """A run that is about to start, or why it is not."""

    run_dir: str
    command: tuple[str, ...]
    wrong: str


def data(asked: Mapping[str, str], frame: Frame) -> str:
    """The check of a dataset; without one the form alone."""
    from advisor.ask.amounts import length
    from advisor.commands.data import verdict_on
    from advisor.report.page import data as page

    def checked() -> dict[str, Any]:
        typed = asked.get("max_seq_len", "")
        try:
            max_seq_len = length(typed) if typed else None
        except ValueError as error:
            what = tr("{value} is no number of tokens", value=typed)
            raise InputError(Problem(what=what, why=str(error), fix="4096")) from error
        verdict = verdict_on(
            asked["dataset"],
            model=asked.get("model"),
            max_seq_len=max_seq_len,
            eval_source=asked.get("eval"),
            mapping=asked.get("map", ""),
            allow=asked.get("allow", "").split(),
        )
        return page.context(verdict)

    words = ["sft-advisor", "data", "check", asked.get("dataset", "DATA")]
    for key, flag in (
        ("model", "--model"),
        ("max_seq_len", "--max-seq-len"),
        ("eval", "--eval-dataset"),
        ("map", "--map"),
    ):
        words += [flag, asked[key]] if asked.get(key) else []
    words += [word for code in asked.get("allow", "").split() for word in ("--allow", code)]
    return _page(
        "ui/data.html", frame, checked if asked.get("dataset") else dict, asked=asked, command=shell_line(words)
    )


def plan(asked: desk.Asked, frame: Frame, target: str) -> str:
    """The plan field by field, each explained a click away; as a file, or in another tool's words."""
    from advisor.report.page.spoken import settings, spoken
    from trainers.export import TARGETS, describe, export

    def shown() -> dict[str, Any]:
        result = _decided(asked)
        best = _best(result)
        said = spoken(result)
        return {
            "settings": settings(best, said),
            "said": said,
            "text": _toml(result),
            "made": export(best, target) if target else None,
            "targets": [(name, describe(name).title) for name in TARGETS],
            "command": _saving(result),
        }

    return _page("ui/plan.html", frame, shown, query=desk.query_of(asked), target=target)


def plan_file(asked: desk.Asked) -> str:
    """The plan as TOML. Raises InputError where there is none."""
    desk.speak(asked.lang)
    return _toml(_decided(asked))


def explained(topic: str, frame: Frame) -> str:
    """The page of `sft-advisor explain TOPIC`."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    from advisor.commands.explain import page_about
    from trainers.foreign.text import terminal

    def shown() -> dict[str, Any]:
        text = terminal(page_about(topic, desk.book(frame.lang)))
        return {"text": Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))}

    return _page("ui/explain.html", frame, shown, topic=topic, command=shell_line(["sft-advisor", "explain", topic]))


def before_start(asked: desk.Asked, frame: Frame) -> str:
    """What a start would take, and what stands in its way."""
    from advisor.commands.interview import launch_obstacle, run_cost

    def shown() -> dict[str, Any]:
        result = _decided(asked)
        return {
            "headline": result.headline,
            "cost": run_cost(result),
            "obstacle": launch_obstacle(result),
            "cautions": result.warnings,
            "commands": [_saving(result), f"sft-advisor launch {layout.PLAN}"],
        }

    return _page("ui/start.html", frame, shown, query=desk.query_of(asked), typed=asked.typed)


def prepare_start(asked: desk.Asked, allow: tuple[str, ...]) -> Started:
    """Write plan and advice into a new run folder, and say which command starts it."""
    from advisor.commands.following import new_run_dir
    from advisor.commands.interview import launch_obstacle
    from advisor.commands.launch import keep_advice
    from advisor.commands.output import write_file

    desk.speak(asked.lang)
    try:
        result = _decided(asked)
        best = _best(result)
        if obstacle := launch_obstacle(result):
            raise InputError(Problem(what=tr("it cannot be started here"), why=obstacle))
        run_dir = new_run_dir(best)
        write_file(run_dir / layout.PLAN, _toml(result).encode())
        keep_advice(result, run_dir)
    except TOLD as error:
        return Started("", (), "\n".join(explain_failure(error)[0]))
    accepted = [word for code in allow for word in ("--allow", code)]
    return Started(str(run_dir), ("launch", str(run_dir / layout.PLAN), "--run-dir", str(run_dir), *accepted), "")


def runs(folder: str, frame: Frame) -> str:
    """The list of runs."""
    from advisor.report.page.runs import listed

    where = Path(folder or "runs")
    command = shell_line(["sft-advisor", "runs", *(["list", str(where)] if folder else [])])
    return _page("ui/runs.html", frame, lambda: listed(where), command=command)


def run(run_dir: str, frame: Frame, phase: Phase) -> str:
    """One run, with its curves."""
    return _page("ui/run.html", frame, lambda: _run(run_dir, phase), run_dir=run_dir)


def live(run_dir: str, lang: str, phase: Phase) -> str:
    """The part of a run's page that changes as it goes."""
    desk.speak(lang)
    return desk.rendered("ui/run_now.html", **_run(run_dir, phase), run_dir=run_dir)


def compared(first: str, second: str, frame: Frame) -> str:
    """Two runs beside each other."""
    from advisor.commands.runs import difference_of, summary_of
    from advisor.report.page.runs import compared as beside

    def shown() -> dict[str, Any]:
        return beside(difference_of(summary_of(Path(first), "compare"), summary_of(Path(second), "compare")))

    command = shell_line(["sft-advisor", "runs", "compare", first, second])
    return _page("ui/compare.html", frame, shown, command=command)


def _run(run_dir: str, phase: Phase) -> dict[str, Any]:
    from advisor.commands.runs import summary_of
    from advisor.report.page.runs import one

    folder = Path(run_dir)
    summary_of(folder, "watch")
    return one(folder, folder / LAUNCH_LOG, phase)


def _decided(asked: desk.Asked) -> Recommendation:
    seen = desk.see(asked)
    problems = [problem for found in seen.problems.values() for problem in found]
    if not problems and "model" not in seen.given.values:
        problems = [Problem(what=tr("no model is named"), fix="sft-advisor ui")]
    if problems:
        raise InputError(*problems)
    return desk.decided(seen, asked.lang)


def _best(result: Recommendation) -> Any:
    if result.best is None:
        raise InputError(Problem(what=tr("there is no plan"), why=result.headline, fix="; ".join(result.remedies)))
    return result.best.plan


def _toml(result: Recommendation) -> str:
    import tomli_w

    from trainers.plan import plan_to_dict

    return tomli_w.dumps(plan_to_dict(_best(result)))


def _saving(result: Recommendation) -> str:
    from advisor.report.commandlines import asked_again

    return asked_again(result, "--save-plan", layout.PLAN)


def _page(template: str, frame: Frame, shown: Callable[[], dict[str, Any]], **values: Any) -> str:
    """The page, or in its place what is wrong with what was asked for."""
    desk.speak(frame.lang)
    try:
        return desk.rendered(template, frame=frame, problems=(), **values, **shown())
    except TOLD as error:
        told = error.problems if isinstance(error, AdvisorError) else [_as_problem(error)]
        return desk.rendered(template, frame=frame, problems=[(one, "") for one in told], **values)


def _as_problem(error: Exception) -> Problem:
    lines = explain_failure(error)[0]
    said = [line.partition(": ")[2] for line in lines]
    return Problem(what=said[0], why=" ".join(said[1:]))
