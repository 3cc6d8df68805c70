"""Looks up what the answers name, once each: machine probed, model config read, dataset profiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from advisor.ask.answers import Answers, Layer, complete, missing, parse
from advisor.ask.question import Measured, Values
from advisor.base.errors import AdvisorError, InputError, Problem, named_by
from advisor.base.language import tr
from trainers.foreign.limits import bounded_memory

if TYPE_CHECKING:
    from advisor.data.profile import DatasetProfile
    from advisor.decide.recommendation import Recommendation
    from advisor.estimate.runtime import Calibration
    from advisor.model.spec import ModelSpec
    from advisor.probe.hardware import Hardware
    from rules.engine import RuleBook
    from trainers.plan import DatasetRef


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Complete answers and what they name: everything that a decision needs."""

    answers: Answers
    hardware: Hardware
    model: ModelSpec
    data: DatasetProfile | None


class Measurements:
    """Looks up machine, model and dataset by what was answered, and remembers each result."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Any] = {}

    def hardware(self, values: Values) -> Hardware:
        """The probed machine, or the one that was described. Raises InputError."""
        described, output = values.get("hardware"), str(values.get("output") or "runs")

        def look() -> Hardware:
            if described:
                from advisor.probe.describe import hardware_from_text

                return hardware_from_text(described)
            from advisor.probe import probe

            return probe(output=Path(output))

        return self._once(look, "hardware", described or tr("this machine, {output}", output=output))  # type: ignore[no-any-return]

    def model(self, values: Values) -> ModelSpec:
        """The model's shape. Raises InputError."""

        def look() -> ModelSpec:
            from advisor.model import resolve_model

            with bounded_memory():
                return require_trainable(resolve_model(values["model"]))

        return self._once(look, "model", values["model"])  # type: ignore[no-any-return]

    def data(self, values: Values) -> DatasetProfile | None:
        """The dataset's profile, None when no dataset is given. Raises InputError."""
        if not values.get("dataset"):
            return None

        def look() -> DatasetProfile:
            from advisor.base.sandbox import sandboxed
            from advisor.data import profile_dataset
            from advisor.data.profile import DatasetProfile
            from advisor.data.source import told_as_input
            from trainers.examples.mapping import parse_mapping

            with named_by("--map"), told_as_input():
                columns = parse_mapping(values.get("map") or "")
            model = self.model(values) if values.get("model") else None
            eval_source = values.get("eval_dataset") or None
            return sandboxed(
                DatasetProfile,
                lambda: profile_dataset(values["dataset"], model, columns=columns, eval_source=eval_source),
            )

        names = tuple(str(values.get(name)) for name in ("dataset", "model", "map", "eval_dataset"))
        return self._once(look, "dataset", *names)  # type: ignore[no-any-return]

    def measured(self, values: Values) -> tuple[Measured, list[Problem]]:
        """Everything that can be looked up, and every problem on the way."""
        measured, problems = Measured(), _unusable_output(values)
        for name, key in (("hardware", None), ("model", "model"), ("data", "dataset")):
            if key is not None and not values.get(key):
                continue
            try:
                setattr(measured, name, getattr(self, name)(values))
            except InputError as error:
                problems += [problem for problem in error.problems if problem not in problems]
        return measured, problems

    def _once(self, look: Callable[[], Any], *key: str) -> Any:
        if key not in self._known:
            self._known[key] = look()
        return self._known[key]


def require_trainable(model: ModelSpec) -> ModelSpec:
    """The model. Raises InputError where the class that trains would not load it, with what trains it instead."""
    from advisor.model.use import refusal

    if problem := refusal(model):
        raise InputError(problem)
    return model


def _unusable_output(values: Values) -> list[Problem]:
    output = Path(str(values.get("output") or "runs"))
    if output.exists() and not output.is_dir():
        return [
            Problem(
                what=tr("--output {output} is a file", output=output),
                why=tr("runs are folders in it"),
                fix="--output runs",
            )
        ]
    return []


def gather(
    layers: Sequence[Layer], measurements: Measurements | None = None, *, also: Sequence[Problem] = ()
) -> Request:
    """Answers resolved from the layers, and what they name.

    Raises InputError with every problem, those of `also` among them.
    """
    given, problems = parse(*layers)
    problems += missing(layers)
    measured, more = (measurements or Measurements()).measured(given.values)
    if problems or more or also:
        raise InputError(*problems, *also, *more)
    if measured.hardware is None or measured.model is None:
        raise AssertionError("a required answer was neither missing nor looked up")
    answers = complete(given, measured)
    return Request(answers=answers, hardware=measured.hardware, model=measured.model, data=measured.data)


def wrong_answers(layers: Sequence[Layer]) -> list[Problem]:
    """What is wrong with what the layers hold, names looked up where that is possible.

    What they leave out is not a problem.
    """
    given, problems = parse(*layers)
    measurements = Measurements()
    looks = {"hardware": measurements.hardware, "model": measurements.model, "dataset": measurements.data}
    for key, look in looks.items():
        if given.values.get(key):
            try:
                look(given.values)
            except AdvisorError as error:
                problems += [problem for problem in error.problems if problem not in problems]
    return problems


def recommend(
    request: Request, book: RuleBook, overrides: Values | None = None, *, search_changes: bool = True
) -> Recommendation:
    """The recommendation for a request."""
    from advisor.decide.advise import advise

    return advise(
        request.answers.values,
        request.hardware,
        request.model,
        request.data,
        book,
        origins=request.answers.origins,
        software=request.hardware.software,
        dataset=dataset_ref(request.data),
        output_dir=request.answers.values["output"],
        overrides=overrides,
        calibrations=measured_before(request.hardware),
        paces=paces_before(request.hardware),
        raced=raced_before(request),
        search_changes=search_changes,
    )


def measured_before(hardware: Hardware) -> dict[str, Calibration]:
    """The corrections of the estimates from earlier runs on the same kind of device."""
    from advisor.estimate.ledger import calibrations_for
    from rules.facts import METHODS

    return calibrations_for(_device(hardware), "trl", METHODS)


def paces_before(hardware: Hardware) -> dict[str, Calibration]:
    """How fast earlier runs on the same kind of device were against the prediction."""
    from advisor.estimate.ledger import paces_for
    from rules.facts import METHODS

    return paces_for(_device(hardware), "trl", METHODS)


def raced_before(request: Request) -> dict[str, Any]:
    """The facts that a race with this model and these data has shown on the same kind of device; {} without one."""
    from advisor.estimate.raced import data_key, raced_facts

    named = dataset_ref(request.data)
    model = request.model.path or request.model.name
    return raced_facts(device=_device(request.hardware), model=model, data=data_key(named)) if named else {}


def _device(hardware: Hardware) -> str:
    from advisor.estimate.ledger import device_key

    gpus = hardware.usable_gpus
    return device_key(hardware.accelerator if gpus else "cpu", gpus[0].name if gpus else None)


def named_dataset(dataset: DatasetRef) -> dict[str, str]:
    """The answers that name a plan's dataset."""
    from trainers.examples.mapping import as_text

    named = {"dataset": dataset.source, "map": as_text(dataset.columns), "eval_dataset": dataset.eval_source or ""}
    return {key: value for key, value in named.items() if value}


def dataset_ref(data: DatasetProfile | None) -> DatasetRef | None:
    """The dataset as a plan names it."""
    if data is None:
        return None
    from trainers.plan import DatasetRef

    return DatasetRef(
        source=data.source,
        format=data.format,
        columns=data.mapping,
        split=data.split,
        eval_source=data.eval_source,
        files=data.files,
        eval_files=data.eval_files,
        num_examples=data.num_examples,
        sha256=data.sha256,
    )
