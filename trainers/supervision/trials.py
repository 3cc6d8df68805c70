"""What is tried against a plan: other methods, ranks and rates, or less data; all with the same budget. No torch.

for trial in entrants(plan, others, ("method", "learning_rate"), 60, Path("runs/race")): ...

Each trial is an ordinary run in a folder of its own, over a whole schedule. The budget is the plan's own rows: a
trial whose step takes more of them makes fewer steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trainers.foreign.files import RECORD_BYTES, read_small_file
from trainers.plan import TrainingPlan
from trainers.run_folder import layout
from trainers.writing import write_atomically

RATE_FACTORS = (1 / 3, 3.0)
RANK_FACTORS = (0.25, 4.0)
"""Ranks that differ less are told apart by no small dataset: 16 against 64 is 0.2 to 0.5 % of the loss."""
DATA_SHARES = (0.25, 0.5)
SWEEPS = ("method", "learning_rate", "lora_rank", "data")
"""In the order of what can be gained: a short budget leaves out the last."""
EVALUATIONS = 4
"""In each trial at least; its best step is what it is judged by."""
KEPT_BACK, MOST_KEPT_BACK = 40, 0.2
"""Rows that trials are judged by, and the largest share of the data for that: of fewer, chance says who wins."""
TRIALS = "trials"
PLAN = "plan"
"""The name of the plan itself among the trials."""


SHEET = "race.json"
SHEET_SCHEMA = "sft-advisor/race/v1"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One setting to try, in a run folder of its own."""

    name: str
    folder: Path
    plan: TrainingPlan


def entrants(
    plan: TrainingPlan, others: Sequence[TrainingPlan], sweeps: Iterable[str], steps: int, folder: Path
) -> list[Trial]:
    """The plan first, so that what a trial costs is known of it; then what is varied. `others`: by other methods."""
    varied = {
        "method": [(f"method-{other.method}", other, 1.0) for other in others],
        "lora_rank": [(f"lora_rank-{new.lora_rank}", new, 1.0) for new in _ranks(plan)],
        "learning_rate": [(f"learning_rate-{new.learning_rate:.3g}", new, 1.0) for new in _rates(plan)],
        "data": [(f"data-{share:.0%}".rstrip("%"), _with_share(plan, share), share) for share in DATA_SHARES],
    }
    asked = [one for sweep in SWEEPS if sweep in sweeps for one in varied[sweep]]
    rows = steps * plan.global_batch_size
    return [
        Trial(name=name, folder=folder / TRIALS / name, plan=with_steps(new, round(share * rows)))
        for name, new, share in [(PLAN, plan, 1.0), *asked]
    ]


def with_rows_to_judge_by(plan: TrainingPlan) -> TrainingPlan:
    """The plan with rows enough kept back to tell trials apart; with an evaluation set of its own, as it is."""
    data = plan.dataset
    if data is None or data.eval_source or not data.num_examples:
        return plan
    share = max(data.eval_fraction, round(min(MOST_KEPT_BACK, KEPT_BACK / data.num_examples), 4))
    return msgspec.structs.replace(plan, dataset=msgspec.structs.replace(data, eval_fraction=share))


def with_seed(trial: Trial, seed: int) -> Trial:
    """The same trial by another seed, which keeps other rows back as well."""
    name = f"{trial.name}-seed-{seed}"
    plan = msgspec.structs.replace(trial.plan, seed=seed)
    return Trial(name=name, folder=trial.folder.with_name(name), plan=plan)


def with_steps(plan: TrainingPlan, rows: int) -> TrainingPlan:
    """The plan for at most so many rows: a whole schedule that ends on an evaluation, and never early."""
    wanted = max(EVALUATIONS, rows // plan.global_batch_size)
    every = wanted // EVALUATIONS
    steps = wanted // every * every
    for_whole = plan.made_for and msgspec.structs.replace(plan.made_for, low_hours=None, high_hours=None)
    return msgspec.structs.replace(
        plan,
        made_for=for_whole,
        max_steps=steps,
        warmup_steps=min(plan.warmup_steps, steps // 10),
        eval_steps=every,
        save_steps=every,
        early_stopping_patience=None,
        load_best_model_at_end=True,
    )


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """race.json: what a race was started with, so that a second start is the same race."""

    schema: str = SHEET_SCHEMA
    sweeps: tuple[str, ...]
    budget: dict[str, float]
    """`minutes` of all trials together, or `steps` or `tokens` of each."""
    source: TrainingPlan
    """The plan as it was handed over."""
    shares: tuple[float, ...]
    """Of the steps, at which trials are held against each other."""
    field: tuple[tuple[str, TrainingPlan], ...]
    """Name and plan of each trial."""

    def trials(self, folder: Path) -> list[Trial]:
        """The trials in the folder of the race."""
        return [Trial(name=name, folder=folder / TRIALS / name, plan=plan) for name, plan in self.field]

    def save(self, folder: Path) -> None:
        """Write it into the folder of the race."""
        write_atomically(folder / SHEET, msgspec.json.format(msgspec.json.encode(self), indent=1))


def read_sheet(folder: Path) -> Sheet | None:
    """What the race in this folder was started with; None where there is none that can be read."""
    try:
        return msgspec.json.decode(read_small_file(folder / SHEET, RECORD_BYTES), type=Sheet)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None


def share_base(trial: Trial, field: Iterable[Trial]) -> None:
    """What another trial found of the same untrained model on the same rows, so that it is not looked at again."""
    target = trial.folder / layout.DATA / layout.BASE_EVALUATION
    alike = (one.folder for one in field if _same_base(one.plan, trial.plan) and one is not trial)
    found = next(
        (file for folder in alike if (file := folder / layout.DATA / layout.BASE_EVALUATION).is_file()), None
    )
    if found is not None and not target.exists():
        write_atomically(target, found.read_bytes())


def _same_base(one: TrainingPlan, other: TrainingPlan) -> bool:
    names = ("model", "quantization", "weights_dtype", "compute_dtype", "seed", "max_seq_len", "loss_on", "leave_out")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def setting(trial: Trial, plan: TrainingPlan) -> dict[str, Any]:
    """What sets a trial apart from the plan: field -> value; {} for the plan itself."""
    names = ("method", "lora_rank", "learning_rate")
    return {name: value for name in names if (value := getattr(trial.plan, name)) != getattr(plan, name)}


def _rates(plan: TrainingPlan) -> list[TrainingPlan]:
    rates = [float(f"{plan.learning_rate * factor:.3g}") for factor in RATE_FACTORS]
    return [msgspec.structs.replace(plan, learning_rate=rate) for rate in rates]


def _ranks(plan: TrainingPlan) -> list[TrainingPlan]:
    """Alpha stays, at which one rate suits every rank (rule HYP-15)."""
    if plan.lora_rank is None:
        return []
    ranks = {max(1, round(plan.lora_rank * factor)) for factor in RANK_FACTORS} - {plan.lora_rank}
    return [msgspec.structs.replace(plan, lora_rank=rank) for rank in sorted(ranks)]


def _with_share(plan: TrainingPlan, share: float) -> TrainingPlan:
    if plan.dataset is None:
        return plan
    return msgspec.structs.replace(plan, dataset=msgspec.structs.replace(plan.dataset, train_fraction=share))
