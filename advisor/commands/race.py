"""Tries a plan against other methods, ranks and rates on your data, with equal budgets, and says who won.

    sft-advisor race PLAN.toml --run-dir runs/race --minutes 60        # what it may take in all
    sft-advisor race PLAN.toml --run-dir runs/race --sweep learning_rate --steps 100
    sft-advisor race PLAN.toml --run-dir runs/more --sweep data        # what more data would gain

Each trial is an ordinary run, which `sft-advisor runs` lists; the same command again goes on where it was stopped.
The result goes to the ledger of this machine, never the data; later advice for the same model and data reads it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from advisor.base.errors import EXIT_OK, InputError, Problem
from advisor.base.language import tr
from advisor.commands.data import add_allow
from advisor.commands.named import named_problems
from advisor.commands.numbers import AMOUNT, COUNT
from advisor.commands.output import remark, show, write_json

if TYPE_CHECKING:
    from advisor.report.estimates import PlanEstimate
    from trainers.plan import TrainingPlan
    from trainers.supervision.pace import Pace
    from trainers.supervision.trials import Sheet, Trial
    from trainers.supervision.verdict import Verdict

STEPS = 60
FEWEST_STEPS = 8
SWEEPS = ("method", "lora_rank", "learning_rate", "data")
NEW_TOKENS, NEW_TOKENS_ON_CPU = 256, 64
"""Longest answer."""
QUESTIONS = 32
"""Kept-back rows that each model answers for the measure of the task."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan, what is varied, and how much the trials may take."""
    parser.add_argument("plan", metavar="PLAN.toml", type=Path)
    parser.add_argument(
        "--sweep", choices=SWEEPS, nargs="+", default=list(SWEEPS[:3]), help="what is varied (default: all but data)"
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", metavar="N", type=AMOUNT, help="what all trials together may take")
    budget.add_argument("--steps", metavar="N", type=COUNT, help=f"optimizer steps of each trial (default: {STEPS})")
    budget.add_argument("--tokens", metavar="N", type=COUNT, help="tokens of each trial")
    parser.add_argument(
        "--seeds", metavar="N", type=COUNT, default=2, help="runs of the first two where one cannot tell them apart"
    )
    parser.add_argument("--run-dir", metavar="DIR", type=Path, required=True, help="folder of the race")
    add_allow(parser)
    parser.add_argument("--json", action="store_true", help="the verdict as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Plan the trials within the budget, carry them out, judge them, remember the result."""
    from advisor.commands.launch import require_startable
    from advisor.commands.planflags import read_plan
    from trainers.supervision.race import RaceStopped
    from trainers.supervision.trials import with_rows_to_judge_by

    _check(arguments)
    plan = with_rows_to_judge_by(read_plan(arguments.plan).anchored())
    require_startable(plan, arguments.allow, arguments.plan)
    try:
        return _Racing(arguments, plan).run()
    except RaceStopped as stopped:
        remark(tr("the same command again goes on with what is left"))
        return stopped.code


def _check(arguments: argparse.Namespace) -> None:
    if "data" not in arguments.sweep or len(arguments.sweep) == 1:
        return
    what = tr("how much data is needed is asked apart from which setting is best")
    problem = Problem(what=what, why=tr("trials on less data lose by design"), fix="--sweep data")
    raise InputError(problem, *named_problems(arguments))


class _Racing:
    """One race as the command carries it out."""

    def __init__(self, arguments: argparse.Namespace, plan: TrainingPlan) -> None:
        self.arguments, self.plan, self.folder = arguments, plan, arguments.run_dir
        self.pace: Pace | None = None
        self.estimates: list[PlanEstimate] = []
        self.field: list[Trial] = []
        self.shares: tuple[float, ...] = ()

    def run(self) -> int:
        """Everything between the plan and the verdict. Raises RaceStopped."""
        from trainers.supervision.race import Race

        self.field = self._sheet().trials(self.folder)
        self._say_prediction()
        left = Race(self.field, self.shares, self._carry_out, remark, self._has_time).run()
        seeds = {} if "data" in self.arguments.sweep else self._more_seeds(left)
        return self._conclude(self._verdict(seeds))

    def _sheet(self) -> Sheet:
        """What the race in this folder was started with, or what a new one starts with."""
        from trainers.supervision.trials import Sheet, read_sheet

        asked = {name: value for name in ("minutes", "steps", "tokens") if (value := getattr(self.arguments, name))}
        budget = {name: float(value) for name, value in (asked or {"steps": STEPS}).items()}
        known = read_sheet(self.folder)
        if known is not None:
            if (known.sweeps, known.budget, known.source) != (tuple(self.arguments.sweep), budget, self.plan):
                raise InputError(_other_race(self.folder))
            self.estimates = self._estimated([plan for _, plan in known.field])
            self.pace, self.shares = self._known_pace(), known.shares
            return known
        field = self._planned(budget)
        sheet = Sheet(
            sweeps=tuple(self.arguments.sweep),
            budget=budget,
            source=self.plan,
            shares=self.shares,
            field=tuple((trial.name, trial.plan) for trial in field),
        )
        sheet.save(self.folder)
        return sheet

    def _planned(self, budget: dict[str, float]) -> list[Trial]:
        """The trials, with as many steps as the budget holds."""
        from trainers.supervision.race import HALVED_FROM, HALVING, WHOLE
        from trainers.supervision.trials import entrants

        others = self._other_methods() if "method" in self.arguments.sweep else []
        field = entrants(self.plan, others, self.arguments.sweep, int(budget.get("steps", STEPS)), self.folder)
        self.estimates = self._estimated([trial.plan for trial in field])
        self.shares = WHOLE if "data" in self.arguments.sweep or len(field) < HALVED_FROM else HALVING
        if "tokens" in budget:
            steps = self._steps_of_tokens(budget["tokens"])
        elif "minutes" in budget:
            steps, field = self._steps_of_minutes(60 * budget["minutes"], field)
        else:
            return field
        names = {trial.name for trial in field}
        again = entrants(self.plan, others, self.arguments.sweep, steps, self.folder)
        return [trial for trial in again if trial.name in names]

    def _other_methods(self) -> list[TrainingPlan]:
        """The plans of the other methods that fit here and that no rule forbids, as the book ranks them."""
        from advisor.commands.nextmethod import advised_anew

        found = advised_anew(self.plan)
        usable = [*([found.best] if found.best else []), *found.alternatives]
        plans = [
            one.plan for one in usable if one.method != self.plan.method and one.method in ("full", "lora", "qlora")
        ]
        return [msgspec.structs.replace(plan, dataset=self.plan.dataset).anchored() for plan in plans]

    def _estimated(self, plans: list[TrainingPlan]) -> list[PlanEstimate]:
        from advisor.commands.estimate import estimates_of
        from advisor.commands.rulebook import read_rule_book

        return estimates_of(plans, read_rule_book())

    def _steps_of_tokens(self, tokens: float) -> int:
        time = self.estimates[0].time
        if time is None:
            raise InputError(
                Problem(what=tr("how many tokens a step holds is not known here"), why="", fix=f"--steps {STEPS}")
            )
        return max(FEWEST_STEPS, round(tokens / (time.tokens_per_second * time.step_seconds)))

    def _steps_of_minutes(self, seconds: float, field: list[Trial]) -> tuple[int, list[Trial]]:
        """How many steps each trial has, and the trials: the last ones stay away where there is no time for all."""
        from trainers.amounts import duration
        from trainers.supervision.pace import SPARE, best_shares, race_seconds, steps_within
        from trainers.supervision.race import WHOLE

        self.pace = self._known_pace() or self._measured_pace()
        left = seconds - self._spent()
        ratios = self._ratios()
        for count in range(len(field), 1, -1):
            shares = best_shares(self.pace, ratios[:count], left) if "data" not in self.arguments.sweep else WHOLE
            steps = steps_within(self.pace, ratios[:count], left, shares)
            if steps >= FEWEST_STEPS:
                break
        else:
            needed = race_seconds(self.pace, ratios[:2], FEWEST_STEPS, shares) / SPARE + self._spent()
            raise InputError(
                Problem(
                    what=tr("{time} hold no race of {steps} steps", time=duration(seconds), steps=FEWEST_STEPS),
                    why=tr("a step takes {time} here", time=duration(self.pace.step)),
                    fix=f"--minutes {needed / 60:.0f}",
                )
            )
        for trial in field[count:]:
            remark(tr("{name} does not start: the budget has no time for it", name=trial.name))
        self.estimates, self.shares = self.estimates[:count], shares
        return steps, field[:count]

    def _known_pace(self) -> Pace | None:
        from trainers.supervision.pace import PACE, measured_pace

        return measured_pace(self.folder / PACE, self.plan)

    def _measured_pace(self) -> Pace:
        from trainers.exit_codes import STOPPED
        from trainers.supervision.pace import PACE, PACE_STEPS, measured_pace, pace_plan
        from trainers.supervision.race import RaceStopped
        from trainers.supervision.trials import Trial

        remark(tr("a few steps first, to see how fast this machine is"))
        short = Trial(name=PACE, folder=self.folder / PACE, plan=pace_plan(self.plan))
        code = self._carry_out(short, PACE_STEPS)
        found = measured_pace(short.folder, self.plan)
        if code not in (EXIT_OK, STOPPED) or found is None:
            raise RaceStopped(code)
        return found

    def _ratios(self) -> list[float]:
        """How long a step of each trial is predicted to be, for as many rows, against one of the plan's."""
        times = [one.time.tokens_per_second if one.time else None for one in self.estimates]
        return [times[0] / time if time and times[0] else 1.0 for time in times]

    def _spent(self) -> float:
        from trainers.run_folder.spent import seconds_spent
        from trainers.supervision.pace import PACE
        from trainers.supervision.trials import TRIALS

        return sum(map(seconds_spent, [self.folder / PACE, *(self.folder / TRIALS).glob("*")]))

    def _has_time(self, trial: Trial, steps: int) -> bool:
        minutes = self.arguments.minutes
        if not minutes or self.pace is None:
            return True
        ratio = dict(zip((one.name for one in self.field), self._ratios(), strict=True)).get(trial.name, 1.0)
        return bool(self._spent() + self.pace.of_trial(steps, ratio=ratio) <= 60 * minutes)

    def _say_prediction(self) -> None:
        from trainers.amounts import duration
        from trainers.supervision.pace import race_seconds
        from trainers.supervision.race import places

        names = ", ".join(trial.name for trial in self.field)
        remark(tr("{count} trials: {names}", count=len(self.field), names=names))
        steps = self.field[0].plan.max_steps or STEPS
        if self.pace is not None:
            seconds = race_seconds(self.pace, self._ratios(), steps, self.shares)
            remark(tr("predicted: {steps} steps of the plan, {time} in all", steps=steps, time=duration(seconds)))
            return
        legs = places(len(self.field), self.shares)
        made = sum(share * count for share, count in legs) / len(self.field)
        known = [one.time.total_seconds for one in self.estimates if one.time and one.time.total_seconds]
        if len(known) == len(self.field):
            remark(
                tr(
                    "predicted: {steps} steps of the plan, {time} of training in all, and {starts} starts beside it, "
                    "each with its evaluations",
                    steps=steps,
                    time=duration(made * sum(known)),
                    starts=sum(count for _, count in legs),
                )
            )

    def _carry_out(self, trial: Trial, until: int | None) -> int:
        from advisor.commands.following import watch
        from trainers.run_folder.record import is_finished
        from trainers.supervision.pace import PACE
        from trainers.supervision.supervise import start
        from trainers.supervision.trials import PLAN, Trial, share_base

        if is_finished(trial.folder):
            remark(tr("{name} has ended already", name=trial.name))
            return EXIT_OK
        remark("\n" + (tr("{name}, to step {step}", name=trial.name, step=until) if until else trial.name))
        share_base(trial, [*self.field, Trial(name=PACE, folder=self.folder / PACE, plan=self.plan)])
        tries = trial.name == PLAN or trial.plan.method != self.plan.method
        return watch(
            trial.folder,
            lambda **watchers: start(
                trial.plan, trial.folder, preflight=tries, options=self._options(until), **watchers
            ),
        )

    def _options(self, until: int | None) -> tuple[str, ...]:
        tokens = NEW_TOKENS_ON_CPU if self.plan.accelerator == "cpu" else NEW_TOKENS
        asked = ("--samples", str(QUESTIONS), "--new-tokens", str(tokens))
        return asked if until is None else (*asked, "--until", str(until))

    def _more_seeds(self, left: list[Trial]) -> dict[str, list[Trial]]:
        """The first two and the plan by further seeds, until they can be told apart."""
        from trainers.supervision.race import RaceStopped
        from trainers.supervision.trials import PLAN, with_seed

        seeds: dict[str, list[Trial]] = {}
        by_name = {trial.name: trial for trial in left}
        for more in range(1, self.arguments.seeds):
            found = self._verdict(seeds)
            if found.is_sure or len(found.ranked) < 2:
                break
            rivals = {found.winner.name, PLAN if found.winner.name != PLAN else found.ranked[1].name}
            again = [with_seed(by_name[name], self.plan.seed + more) for name in sorted(rivals)]
            if not all(self._has_time(trial, 2 * (trial.plan.max_steps or STEPS)) for trial in again[:1]):
                remark(tr("the budget has no time for another seed"))
                break
            for trial, name in zip(again, sorted(rivals), strict=True):
                if (code := self._carry_out(trial, None)) != EXIT_OK:
                    raise RaceStopped(code)
                seeds.setdefault(name, []).append(trial)
        return seeds

    def _verdict(self, seeds: dict[str, list[Trial]]) -> Verdict:
        from trainers.supervision.verdict import verdict

        found = verdict(self.field, seeds)
        if found is None:
            raise InputError(
                Problem(
                    what=tr("no trial has a loss on rows that were kept back"),
                    why=tr("all diverged, or the plan keeps none back"),
                    fix="sft-advisor runs list " + str(self.folder),
                )
            )
        return found

    def _conclude(self, found: Verdict) -> int:
        """Keep the result and say it."""
        from rich.text import Text

        from advisor.estimate.raced import record_race
        from advisor.report.race import curve_in_words, race_table, verdict_in_words
        from trainers.supervision.verdict import curve_of, keep_verdict

        keep_verdict(found, self.folder)
        is_of_data = "data" in self.arguments.sweep
        if is_of_data:
            found = msgspec.structs.replace(found, curve=curve_of(self.field))
        else:
            record_race(found, self.plan, self._device())
        if self.arguments.json:
            write_json(found)
        else:
            show(race_table(found))
            show(Text(curve_in_words(found.curve) if is_of_data else verdict_in_words(found, self.plan)))
        return EXIT_OK

    def _device(self) -> str:
        from advisor.estimate.ledger import device_key
        from advisor.probe import probe

        gpus = probe().usable_gpus
        return device_key(self.plan.accelerator, gpus[0].name if gpus else None)


def _other_race(folder: Path) -> Problem:
    return Problem(
        what=tr("{folder} holds a race of another plan, budget or sweep", folder=folder),
        why=tr("its trials would be mixed with the new ones"),
        fix="--run-dir runs/another-race",
    )
