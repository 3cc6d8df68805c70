"""When a question is asked, and what is suggested as its answer from others and from what was measured."""

from __future__ import annotations

from advisor.ask.question import Measured, Suggestion, Values
from rules.facts import DATA_KINDS


def no_dataset(values: Values) -> bool:
    """Sizes are asked where there is no dataset to measure."""
    return not values.get("dataset")


def several_tasks(values: Values) -> bool:
    """More than one task is named."""
    return (values.get("task.count") or 1) > 1


def must_retain(values: Values) -> bool:
    """General abilities have to be kept."""
    return bool(values.get("task.retention_critical"))


def keeps_use_back(values: Values) -> bool:
    """The licence of the model limits its use, or the question was answered."""
    from advisor.model.licence import limited_licence_of

    return values.get("deploy.commercial") is not None or bool(limited_licence_of(str(values.get("model") or "")))


def kind_by_looking(values: Values, measured: Measured) -> Suggestion | None:
    """The kind that the dataset looks like."""
    guess = measured.data.kind_guess if measured.data is not None else None
    return Suggestion(guess, "dataset") if guess in DATA_KINDS else None


def feedback_by_looking(values: Values, measured: Measured) -> Suggestion | None:
    """Pairs, where the dataset holds a rejected answer beside each chosen one."""
    paired = measured.data is not None and measured.data.format in ("preferred", "compared")
    return Suggestion("pairs", "dataset") if paired else None


def is_mapped(values: Values) -> bool:
    """Columns were named."""
    return bool(values.get("map"))


def has_evaluation_set(values: Values) -> bool:
    """There is a dataset, and a set to evaluate on."""
    return bool(values.get("dataset") and values.get("data.has_eval"))


def eval_beside(values: Values, measured: Measured) -> Suggestion | None:
    """The evaluation set that lies beside the dataset."""
    beside = measured.data.eval_source if measured.data is not None else None
    return Suggestion(beside, "dataset") if beside else None


def eval_in_dataset(values: Values, measured: Measured) -> Suggestion | None:
    """Whether the dataset has a part to evaluate on."""
    return Suggestion(True, "dataset") if measured.data is not None and measured.data.has_eval else None


def adapters_when_switching(values: Values, measured: Measured) -> Suggestion | None:
    """Adapters, where the server switches between tasks."""
    return Suggestion("adapters") if values.get("task.switch_per_request") else None


def one_variant_per_task(values: Values, measured: Measured) -> Suggestion | None:
    """As many variants as tasks."""
    return Suggestion(values["task.count"]) if values.get("task.count") else None
