"""Finding the data of a run again that is resumed from another folder, host or container."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trainers.errors import PlanRefused
from trainers.examples.source import is_hub_id
from trainers.language import tr
from trainers.paths import absolute
from trainers.plan import DatasetRef, TrainingPlan
from trainers.run_folder.fingerprint import content_sha256, started_with_content


def with_data(plan: TrainingPlan, run_dir: Path, dataset: str | None = None) -> tuple[TrainingPlan, str]:
    """The plan with its training data where they are now, and a sentence that says so where they were moved.

    They are looked for where the plan says, then under the same name in the current folder, the run's, and the one
    around it; what is found there must have the content that the run was started with. `dataset` is taken without a
    search; the start of the run compares its content. Raises PlanRefused when nothing is found.
    """
    if plan.dataset is None:
        return plan, ""
    if dataset is not None:
        return _moved(plan, plan.dataset, dataset), tr(
            "the training data are taken from {absolute}", absolute=absolute(dataset)
        )
    source = plan.dataset.source
    if Path(source).expanduser().exists() or "*" in source or is_hub_id(source):
        return plan, ""
    digest = started_with_content(run_dir)
    places = [folder / Path(source).name for folder in (Path(), run_dir, run_dir.parent)]
    for place in places:
        if digest and content_sha256(place) == digest:
            return _moved(plan, plan.dataset, str(place)), tr(
                "the training data were found in {absolute}", absolute=place.absolute()
            )
    raise PlanRefused(
        tr("the training data are no longer at {source}", source=source),
        why=tr(
            "nor, with the same content, at {places}", places=", ".join(str(place.absolute()) for place in places)
        ),
        fix=tr("say where they are: sft-advisor runs resume {run_dir} --dataset PATH", run_dir=run_dir),
    )


def _moved(plan: TrainingPlan, reference: DatasetRef, source: str) -> TrainingPlan:
    return msgspec.structs.replace(plan, dataset=msgspec.structs.replace(reference, source=absolute(source)))
