"""What a coding agent can ask, one row a tool: its words, the arguments that it takes, and the function behind it.

The functions are those of `advisor.commands.api`; documents are those that the commands print with `--json`. A tool
reads; the one that writes a file is offered only when the server was asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from advisor.base.language import tr
from advisor.report.descriptions import describe
from advisor.report.schema import answer_type
from trainers.method import Method


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `probe_machine`."""

    hardware: str | None = None
    """A machine that is not this one: "RTX 4090", "8x H100-80GB", "Colab T4", or a saved profile."""


class Dataset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `check_data`."""

    dataset: str
    """A file (jsonl, csv, parquet, ...), a folder, or a hub id."""
    model: str | None = None
    """Count with this model's tokenizer and chat template; without it tokens are estimated."""
    max_seq_len: int | None = None
    """The sequence length of the run, in tokens."""
    eval_dataset: str | None = None
    """Evaluation set, to look for overlap."""
    map: str = ""
    """What each column is: prompt=question,completion=answer."""


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `explain`."""

    topic: str
    """A method, setting, rule id, source, fact, question, finding, exit code, exporter, or several words."""


class Models(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `list_models`."""

    family: str | None = None
    """Only those of one family: Qwen3, llama."""
    fits: str | None = None
    """Only those that this machine has room to train, described as in `probe_machine`."""


class Stranger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `vet`."""

    path: str
    """A model, dataset, run, plan, answers file, rules or profile on this disk."""


class Runs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of `list_runs`."""

    folder: str = "runs"
    """Runs in and below it."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool."""

    name: str
    title: str
    about: str
    """What it answers, in what unit, and when to ask it."""
    takes: type[msgspec.Struct]
    """Its arguments."""
    answer: Callable[[Any], Any]
    """The document, or text, for them. Raises what the commands raise."""
    writes: bool = False
    """Whether it leaves a file behind."""

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments, every one described; an object at its top, as clients expect it."""
        whole = describe(msgspec.json.schema(self.takes), self.takes)
        own: dict[str, Any] = whole["$defs"].pop(self.takes.__name__)
        return own | ({"$defs": whole["$defs"]} if whole["$defs"] else {})

    def ask(self, arguments: Mapping[str, Any]) -> Any:
        """The answer. Raises InputError with the arguments' problem where they are not of the schema."""
        from advisor.base.errors import InputError, Problem

        try:
            given = msgspec.convert(dict(arguments), self.takes, strict=False)
        except msgspec.ValidationError as error:
            fix = tr("the input schema of {tool} describes each argument", tool=self.name)
            what = tr("{tool} was called wrongly", tool=self.name)
            raise InputError(Problem(what=what, why=str(error), fix=fix)) from error
        return self.answer(given)


def tools(*, writing: bool) -> dict[str, Tool]:
    """Name -> tool; those that write only with `writing`."""
    return {tool.name: tool for tool in _table() if writing or not tool.writes}


@cache
def _table() -> tuple[Tool, ...]:
    return (
        Tool(
            name="recommend",
            title="Recommend how to fine-tune",
            about="Whether to fine-tune at all and by which method (full, LoRA, QLoRA), with every setting, "
            "predicted memory (bytes a GPU), time (seconds) and disk (bytes), reasons with sources, warnings with "
            "fixes, and what would change the answer. Give at least `model`; without `hardware` it is decided for "
            "the machine that the server runs on. What is not answered is unknown and not guessed: see `unknown`.",
            takes=_answers("Answers"),
            answer=_recommend,
        ),
        Tool(
            name="estimate",
            title="Estimate one plan",
            about="Memory (bytes a GPU, with range and parts), time (seconds) and disk (bytes) of one method on one "
            "machine, with the other settings by the rules, and whether it fits.",
            takes=_answers("Plan", ("method", _described(Method, "The method to estimate."), "lora")),
            answer=_estimate,
        ),
        Tool(
            name="check_data",
            title="Check a dataset",
            about="What a run on this dataset would cut, drop, mask or learn by mistake: verdict (ready, caution, "
            "blocked), proof of what is learnt, account of every column, and findings each with a fix. "
            "Ask before a plan is made.",
            takes=Dataset,
            answer=_check_data,
        ),
        Tool(
            name="probe_machine",
            title="Look at a machine",
            about="GPUs with total and free memory (bytes), who takes it, RAM, disk, driver and findings; of the "
            "machine that the server runs on, or of one that is described.",
            takes=Machine,
            answer=_probe,
        ),
        Tool(
            name="list_models",
            title="List known base models",
            about="Models that are known without a download: parameters, context, licence, and by which methods each "
            "can be trained on a machine. Ask when no base model is chosen yet.",
            takes=Models,
            answer=_models,
        ),
        Tool(
            name="explain",
            title="Explain a word",
            about="One page in Markdown on a word of an answer: what it is, evidence with sources, the setting's "
            "effect of more and of less.",
            takes=Topic,
            answer=_explain,
        ),
        Tool(
            name="vet",
            title="Look at a stranger's files",
            about="What a model, dataset, run, plan or rules from elsewhere hold that should be known before use. "
            "Nothing of it is loaded or run.",
            takes=Stranger,
            answer=_vet,
        ),
        Tool(
            name="list_runs",
            title="List runs",
            about="Runs in and below a folder, the newest first: state, method, losses, peak memory, duration.",
            takes=Runs,
            answer=_runs,
        ),
        Tool(
            name="save_plan",
            title="Save the recommended plan",
            about="Recommends as `recommend` does and writes the plan as TOML. A person starts it: "
            "`sft-advisor launch PATH`. An existing file is not replaced.",
            takes=_answers("Saved", ("path", _described(str, "The TOML file to write."))),
            answer=_save_plan,
            writes=True,
        ),
    )


def _described(kind: Any, text: str) -> Any:
    return Annotated[kind, Meta(description=text)]


def _answers(name: str, *more: tuple[Any, ...]) -> type[msgspec.Struct]:
    """The questions as arguments, called as in the Python API, `more` before them."""
    from advisor.ask.questions import QUESTIONS

    fields: list[Any] = [*more]
    for question in QUESTIONS:
        choices = "; ".join(f"{value}: {meaning}" for value, meaning in question.choices.items() if meaning)
        text = f"{question.prompt} ({choices})" if choices else question.prompt
        kind = _described(answer_type(question), text)
        called = question.key.replace(".", "_")
        fields.append((called, kind) if question.required else (called, kind | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct(name, fields, kw_only=True, frozen=True, forbid_unknown_fields=True)


def _given(arguments: msgspec.Struct, *left_out: str) -> dict[str, Any]:
    given = msgspec.structs.asdict(arguments)
    stated = {name: value for name, value in given.items() if value not in (None, msgspec.UNSET)}
    return {name: value for name, value in stated.items() if name not in left_out}


def _recommend(arguments: Any) -> Any:
    from advisor.commands.api import advise

    return advise(**_given(arguments)).summary


def _estimate(arguments: Any) -> Any:
    from advisor.commands.api import estimate

    found = estimate(method=arguments.method, **_given(arguments, "method"))
    return {"schema": "sft-advisor/estimate/v1", "estimates": [found]}


def _check_data(arguments: Any) -> Any:
    from advisor.commands.api import check_data

    return check_data(**_given(arguments))


def _probe(arguments: Any) -> Any:
    from advisor.commands.api import probe
    from advisor.probe import hardware_to_json

    return msgspec.json.decode(hardware_to_json(probe(arguments.hardware)))


def _models(arguments: Any) -> Any:
    from advisor.commands.api import models

    return {"models": models(family=arguments.family, fits=arguments.fits)}


def _explain(arguments: Any) -> Any:
    from advisor.commands.api import explain

    return explain(arguments.topic)


def _vet(arguments: Any) -> Any:
    from advisor.commands.api import vet

    return vet(arguments.path)


def _runs(arguments: Any) -> Any:
    from trainers.run_folder.summary import find_runs, summarise

    return {"runs": [summarise(folder) for folder in find_runs(Path(arguments.folder))]}


def _save_plan(arguments: Any) -> Any:
    from advisor.base.errors import InputError, Problem
    from advisor.commands.api import advise

    path = Path(arguments.path)
    if path.exists():
        what = tr("{path} is already there", path=path)
        raise InputError(Problem(what=what, why=tr("nothing is written over"), fix=tr("name another file")))
    advice = advise(**_given(arguments, "path"))
    advice.save_plan(path)
    return {"path": str(path.resolve()), "headline": advice.headline, "start": f"sft-advisor launch {path}"}
