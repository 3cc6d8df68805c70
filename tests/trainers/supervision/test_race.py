"""Trials, halving, budget and verdict, on folders that hold what runs leave."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.documents import validated
from tests.trainers.plans import full_plan, lora_plan
from trainers import exit_codes
from trainers.run_folder.metrics import append_metrics
from trainers.supervision.pace import (
    PACE_STEPS,
    Pace,
    best_shares,
    measured_pace,
    pace_plan,
    race_seconds,
    steps_within,
)
from trainers.supervision.race import HALVING, WHOLE, Race, RaceStopped, steps_made
from trainers.supervision.trials import (
    PLAN,
    Sheet,
    Trial,
    entrants,
    read_sheet,
    share_base,
    with_rows_to_judge_by,
    with_seed,
)
from trainers.supervision.verdict import curve_of, verdict

RATES = ("learning_rate",)
ALL = ("method", "lora_rank", "learning_rate")


def ended(trial: Trial, loss: float, noise: float = 0.1, rows: int = 40, trained: int = 0) -> None:
    trial.folder.mkdir(parents=True, exist_ok=True)
    record = {"exit_state": "done", "eval_loss_after": loss, "attempts": [{"seconds": 5.0}]}
    (trial.folder / "run.json").write_text(json.dumps(record | {"data": {"train_examples": trained}}))
    source = random.Random(f"{trial.name}")
    losses = {"tokens": [7] * rows, "tuned": [loss + source.gauss(0, noise) for _ in range(rows)]}
    (trial.folder / "samples.json").write_text(json.dumps({"rows": losses}))


class Tracks:
    """Stands for training: a trial's evaluation loss falls from 4 to its own value, and it ends where it is told."""

    def __init__(self, losses: dict[str, float], stops_after: int = 10**6) -> None:
        self.losses, self.legs, self.stops_after = losses, [], stops_after

    def __call__(self, trial: Trial, until: int | None) -> int:
        if len(self.legs) == self.stops_after:
            return exit_codes.STOPPED
        self.legs.append((trial.name, until))
        loss = self.losses[trial.name]
        if loss == float("inf"):
            return exit_codes.DIVERGED
        trial.folder.mkdir(parents=True, exist_ok=True)
        total = trial.plan.max_steps or 0
        for step in range(steps_made(trial) + trial.plan.eval_steps, (until or total) + 1, trial.plan.eval_steps):
            append_metrics(trial.folder, {"step": step, "eval_loss": 4 + (loss - 4) * step / total})
        if until is None:
            ended(trial, loss)
        return exit_codes.DONE if until is None else exit_codes.STOPPED


def a_field(folder: Path) -> list[Trial]:
    plan = lora_plan(learning_rate=3e-4, lora_alpha=32)
    return entrants(plan, [full_plan()], ALL, 40, folder)


def losses_of(field: list[Trial], best: str) -> dict[str, float]:
    return {trial.name: 1.0 if trial.name == best else 2.0 + 0.1 * place for place, trial in enumerate(field)}


def test_trials_are_judged_by_rows_enough_to_tell_them_apart() -> None:
    def kept(**fields: Any) -> float:
        plan = lora_plan()
        assert plan.dataset is not None
        dataset = msgspec.structs.replace(plan.dataset, **fields)
        found = with_rows_to_judge_by(msgspec.structs.replace(plan, dataset=dataset)).dataset
        assert found is not None
        return found.eval_fraction

    assert kept(num_examples=120, eval_fraction=0.05) == 0.2
    assert kept(num_examples=400, eval_fraction=0.05) == 0.1
    assert kept(num_examples=400, eval_fraction=0.3) == 0.3
    assert kept(num_examples=100_000, eval_fraction=0.05) == 0.05
    assert kept(num_examples=120, eval_fraction=0.05, eval_source="mine.jsonl") == 0.05


def test_all_trials_have_the_same_budget_and_differ_in_what_is_swept_alone(tmp_path: Path) -> None:
    plan = lora_plan(learning_rate=3e-4, warmup_steps=50)
    found = entrants(plan, [], RATES, 60, tmp_path)
    assert [trial.plan.learning_rate for trial in found] == [3e-4, 1e-4, 9e-4]
    assert {(one.plan.max_steps, one.plan.warmup_steps, one.plan.eval_steps) for one in found} == {(60, 6, 15)}
    assert len({trial.folder for trial in found}) == 3
    wide = msgspec.structs.replace(full_plan(), gradient_accumulation_steps=4)
    assert entrants(plan, [wide], ("method",), 60, tmp_path)[1].plan.max_steps == 15


def test_ranks_keep_their_alpha_and_shares_of_the_data_make_as_many_passes(tmp_path: Path) -> None:
    found = entrants(lora_plan(lora_rank=8, lora_alpha=32), [], ("lora_rank",), 40, tmp_path)
    assert {(one.plan.lora_rank, one.plan.lora_alpha) for one in found} == {(8, 32), (2, 32), (32, 32)}
    shares = entrants(lora_plan(), [], ("data",), 40, tmp_path)
    assert [(one.plan.dataset and one.plan.dataset.train_fraction, one.plan.max_steps) for one in shares] == [
        (None, 40),
        (0.25, 10),
        (0.5, 20),
    ]


@pytest.mark.parametrize("best", ["plan", "method-full", "lora_rank-2", "learning_rate-0.0009"])
def test_halving_finds_the_winner_of_a_full_race_in_less_steps(tmp_path: Path, best: str) -> None:
    field = a_field(tmp_path)
    tracks = Tracks(losses_of(field, best))
    left = Race(field, HALVING, tracks, lambda _: None).run()
    found = verdict(field)
    assert found is not None
    assert found.winner.name == best
    assert {one.name for one in found.ranked} == {trial.name for trial in left}
    assert PLAN in {trial.name for trial in left}
    assert sum(map(steps_made, field)) < 0.8 * 40 * len(field)


def test_a_race_that_is_stopped_again_and_again_makes_each_leg_once(tmp_path: Path) -> None:
    field = a_field(tmp_path / "stopped")
    losses = losses_of(field, "lora_rank-2")
    legs = []
    for _ in range(20):
        tracks = Tracks(losses, stops_after=2)
        try:
            Race(field, HALVING, tracks, lambda _: None).run()
        except RaceStopped as stopped:
            assert stopped.code == exit_codes.STOPPED
            legs += tracks.legs
            continue
        break
    legs += tracks.legs
    whole = Tracks(losses)
    Race(a_field(tmp_path / "whole"), HALVING, whole, lambda _: None).run()
    assert sorted(set(legs), key=str) == sorted(whole.legs, key=str)
    assert [leg for leg in legs if leg[1]] == [leg for leg in whole.legs if leg[1]]


def test_a_trial_that_diverges_is_out_and_one_without_time_goes_no_further(tmp_path: Path) -> None:
    field = a_field(tmp_path)
    losses = losses_of(field, "method-full") | {"learning_rate-0.0009": float("inf")}
    said: list[str] = []
    Race(field, HALVING, Tracks(losses), said.append, lambda trial, _: trial.name != "method-full").run()
    found = verdict(field)
    assert found is not None
    assert {"learning_rate-0.0009", "method-full"} <= set(found.dropped)
    assert sum("out of the race" in line for line in said) == 1
    assert sum("no time" in line for line in said) == 1


def test_the_lowest_loss_wins_and_is_sure_only_where_the_rows_say_so(tmp_path: Path) -> None:
    for name, noise, sure in (("clear", 0.1, True), ("blurred", 5.0, False)):
        field = entrants(lora_plan(learning_rate=3e-4), [], RATES, 60, tmp_path / name)
        for trial, loss in zip(field, (2.0, 2.4, 1.8), strict=True):
            ended(trial, loss, noise)
        found = verdict(field)
        assert found is not None
        assert [one.setting.get("learning_rate") for one in found.ranked] == [9e-4, None, 1e-4]
        assert found.over_plan is not None
        assert found.is_sure is sure
        assert found.seconds == 15.0
        validated("race-verdict", found)


def test_other_seeds_can_turn_the_first_two_round(tmp_path: Path) -> None:
    field = entrants(lora_plan(learning_rate=3e-4), [], RATES, 60, tmp_path)
    for trial, loss in zip(field, (2.0, 2.4, 1.99), strict=True):
        ended(trial, loss)
    plan, _, fast = field
    seeds = {trial.name: [with_seed(trial, 43)] for trial in (plan, fast)}
    ended(seeds[plan.name][0], 1.5)
    ended(seeds[fast.name][0], 1.9)
    before, after = verdict(field), verdict(field, seeds)
    assert before is not None
    assert after is not None
    assert (before.winner.name, after.winner.name) == (fast.name, PLAN)
    assert after.winner.seeds == 2


def test_no_loss_is_no_verdict_and_a_plan_alone_is_sure_of_nothing(tmp_path: Path) -> None:
    field = entrants(lora_plan(), [], RATES, 60, tmp_path)
    assert verdict(field) is None
    ended(field[0], 1.0)
    found = verdict(field)
    assert found is not None
    assert not found.is_sure


def test_a_curve_tells_what_more_rows_would_gain_and_when_it_cannot(tmp_path: Path) -> None:
    for name, losses, noise in (("falls", (1.0, 2.0, 1.4), 0.0), ("noise", (1.0, 2.0, 1.0), 3.0)):
        field = entrants(lora_plan(), [], ("data",), 40, tmp_path / name)
        for trial, loss, trained in zip(field, losses, (4_000, 1_000, 2_000), strict=True):
            ended(trial, loss, noise, trained=trained)
        curve = curve_of(field)
        assert curve is not None
        assert curve.trained == (1_000, 2_000, 4_000)
        if name == "falls":
            # gains of 0.6 and 0.4: the next doubling gains 0.4 x 2/3, and 2,000 rows are log2(1.5) of it
            assert curve.gain.value == pytest.approx(0.4 * 2 / 3 * 0.585, abs=0.001)
            assert curve.gain.is_sure
        else:
            assert not curve.gain.is_sure
    assert curve_of(field[:2]) is None


def test_what_a_race_was_started_with_is_read_again(tmp_path: Path) -> None:
    field = a_field(tmp_path)
    sheet = Sheet(
        sweeps=ALL,
        shares=HALVING,
        budget={"minutes": 5.0},
        source=field[0].plan,
        field=tuple((trial.name, trial.plan) for trial in field),
    )
    assert read_sheet(tmp_path) is None
    sheet.save(tmp_path)
    assert read_sheet(tmp_path) == sheet
    assert sheet.trials(tmp_path) == field
    (tmp_path / "race.json").write_text("{")
    assert read_sheet(tmp_path) is None


def test_the_untrained_model_is_looked_at_once_for_all_that_hold_it_alike(tmp_path: Path) -> None:
    field = a_field(tmp_path)
    base = field[0].folder / "data" / "base_evaluation.json"
    base.parent.mkdir(parents=True)
    base.write_text("{}")
    rate = next(trial for trial in field if "rate" in trial.name)
    other = with_seed(rate, 43)
    for trial in (rate, other):
        share_base(trial, field)
    assert (rate.folder / "data" / "base_evaluation.json").is_file()
    assert not other.folder.exists()


def test_the_steps_of_a_budget_stay_within_it() -> None:
    source = random.Random(3)
    for trials in [*range(1, 10)] * 20:
        parts = [source.uniform(0.01, 50) for _ in range(5)]
        pace = Pace(**dict(zip(("start", "base", "step", "check", "end"), parts, strict=True)))
        ratios, seconds = [source.uniform(0.5, 2) for _ in range(trials)], source.uniform(60, 36_000)
        shares = best_shares(pace, ratios, seconds)
        steps = steps_within(pace, ratios, seconds, shares)
        assert steps == 0 or race_seconds(pace, ratios, steps, shares) <= seconds
        assert steps >= steps_within(pace, ratios, seconds, WHOLE)
        alone = trials * pace.of_trial(100) + pace.base
        assert race_seconds(pace, [1.0] * trials, 100, WHOLE) == pytest.approx(alone)


def test_the_pace_is_read_off_a_short_run(tmp_path: Path) -> None:
    plan = lora_plan(micro_batch_size=4)
    assert pace_plan(plan).max_steps == 2 * PACE_STEPS
    assert pace_plan(plan).eval_steps == PACE_STEPS
    assert pace_plan(msgspec.structs.replace(plan, logging_steps=5)).logging_steps == 1
    without = pace_plan(msgspec.structs.replace(plan, max_steps=100, eval_steps=101))
    assert without.eval_steps > without.max_steps
    assert measured_pace(tmp_path, plan) is None
    for step, rate in enumerate((50.0, 100.0, 200.0, 200.0), 1):
        append_metrics(tmp_path, {"step": step, "loss": 1.0, "tokens_per_second": rate})
    seconds = {"importing": 3.0, "loading": 2.0, "base_evaluation": 4.0, "training": 15.0}
    record = {"seconds": seconds, "attempts": [{"seconds": 26.0}]}
    record |= {"data": {"train_sequences": 10, "train_tokens": 1_000}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert measured_pace(tmp_path, plan) == Pace(start=7.0, base=4.0, step=2.0, check=3.0, end=6.0)
