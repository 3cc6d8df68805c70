"""trust_facts: what kind of input a name stands for, and what is to be known of it.

    kind, facts = trust_facts("./model")        facts: trust.own_code -> "auto_map in config.json", ...

Nothing is loaded, run or fetched: files of this disk are read with limits, and only as far as the checks need.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from advisor.errors import InputError, Problem
from advisor.language import tr
from advisor.trust.licence import limited_licence
from advisor.trust.model import TRAINING_STATE, model_facts
from advisor.trust.published import Published, unlike
from advisor.trust.signs import (
    PROGRAMS,
    files_ending,
    hidden_text,
    in_strings,
    leading_out,
    named,
    private_path,
    secret,
)
from advisor.trust.written import plan_file, written_facts, written_kind
from trainers.foreign.files import inside, json_object
from trainers.run_folder import layout
from trainers.run_folder.checkpoint import SEAL, checkpoint_problems

Kind = Literal["model", "dataset", "run", "plan", "answers", "rules", "profile"]
TrustFacts = dict[str, str]
ROWS_LOOKED_AT = 20_000


class Known(NamedTuple):
    """What kind of input a name stands for, and what is to be known of it."""

    kind: Kind
    facts: TrustFacts


def trust_facts(name: str, published: dict[str, Published] | None = None) -> Known:
    """What kind of input this is, and its trust facts; with `published`, also what of a folder is not that.

    Raises InputError when there is nothing of that name here.
    """
    path = Path(name).expanduser()
    if not path.exists():
        raise InputError(
            Problem(
                what=tr("there is nothing at {name}", name=name),
                why=tr("`sft-advisor doctor vet` looks at files of this disk and fetches nothing"),
                fix=tr("give a file or folder of this disk; `hf download` brings a model or dataset here"),
            )
        )
    kind, facts = _look(path)
    if published is not None and path.is_dir():
        facts["trust.differs"] = named(unlike(path, published))
    return Known(kind, {path: said for path, said in facts.items() if said})


def _look(path: Path) -> tuple[Kind, dict[str, str | None]]:
    written = None if _is_run(path) else written_kind(path)
    if written is not None:
        return written, written_facts(written, path)
    kind = _kind(path)
    return kind, {"model": _model, "dataset": dataset_facts, "run": _run}[kind](path)


def folder_kind(name: str) -> Literal["model", "dataset"]:
    """What a folder is said to be on the hub. Raises InputError for what is no folder."""
    path = Path(name).expanduser()
    if not path.is_dir():
        what, why = (
            tr("{name} is no folder", name=name),
            tr("with --against, `sft-advisor doctor vet` compares the files of a folder with those of the hub"),
        )
        raise InputError(
            Problem(what=what, why=why, fix=tr("name the folder, or call `sft-advisor doctor vet` without --against"))
        )
    return "dataset" if _kind(path) == "dataset" else "model"


def _is_run(path: Path) -> bool:
    return (path / layout.PLAN).exists() or (path / layout.RUN).exists()


def _kind(path: Path) -> Literal["model", "dataset", "run"]:
    if path.is_dir():
        if _is_run(path):
            return "run"
        marks = ("config.json", "adapter_config.json", "tokenizer_config.json")
        if any((path / name).exists() for name in marks) or list(path.glob("*.safetensors")):
            return "model"
        return "dataset"
    return "model" if path.suffix.lower() == ".gguf" else "dataset"


def _model(path: Path) -> dict[str, str | None]:
    if path.is_dir():
        return model_facts(path)
    from advisor.model.gguf import read_header

    try:
        metadata = read_header(path).metadata
    except InputError as error:
        return {"trust.damaged": error.problems[0].what}
    return {
        "trust.hidden_text": named(in_strings(hidden_text, metadata, path.name)),
        "trust.private_paths": named(in_strings(private_path, metadata, path.name)),
    }


def dataset_facts(path: Path) -> dict[str, str | None]:
    """Of a file or folder of examples: hidden text in rows and columns, programs, ways out, what cannot be read."""
    from trainers.errors import ExamplesError
    from trainers.examples.source import open_source

    hidden: list[str] = []
    secrets: list[str] = []
    damaged: list[str] = []
    try:
        for row in islice(open_source(str(path)).rows(), ROWS_LOOKED_AT):
            if row.value is not None:
                hidden += in_strings(hidden_text, row.value, tr("row {line}", line=row.line))
                secrets += in_strings(secret, row.value, tr("row {line}", line=row.line))
            elif row.problem:
                damaged.append(tr("row {line} is {problem}", line=row.line, problem=row.problem))
    except ExamplesError as error:
        damaged.append(error.what)
    folder = path.is_dir()
    return {
        "trust.hidden_text": named(hidden),
        "trust.secrets": named(secrets),
        "trust.damaged": named(damaged),
        "trust.programs": named(files_ending(path, PROGRAMS)) if folder else None,
        "trust.pickles": named(files_ending(path, (".pkl", ".pickle", ".pt", ".npy"))) if folder else None,
        "trust.leads_out": named(leading_out(path)) if folder else None,
        "trust.licence_limits": limited_licence(path) if folder else None,
    }


def _run(path: Path) -> dict[str, str | None]:
    facts = plan_file(path / layout.PLAN) if (path / layout.PLAN).exists() else {}
    if (path / layout.RESULT).is_dir():
        facts |= {key: said for key, said in model_facts(path / layout.RESULT).items() if said}
    checkpoints = sorted((path / layout.CHECKPOINTS).glob("checkpoint-*"))
    unsealed = [one for one in checkpoints if not (one / SEAL).is_file()]
    programs = [f"{one.name}/{name}" for one in unsealed for name in TRAINING_STATE if (one / name).is_file()]
    damaged = [said] if (said := facts.get("trust.damaged")) else []
    sealed = [one for one in checkpoints if one not in unsealed]
    damaged += [f"{one.name}: {said}" for one in sealed for said in checkpoint_problems(one)]
    if (path / layout.RUN).exists() and json_object(path / layout.RUN) is None:
        damaged.append(tr("{run} holds no JSON object", run=layout.RUN))
    outside = _foreign_shards(path) + leading_out(path)
    return {
        **facts,
        "trust.unsealed": named([one.name for one in unsealed]),
        "trust.damaged": named(damaged),
        "trust.pickles": named(programs) or facts.get("trust.pickles"),
        "trust.leads_out": named(outside) or facts.get("trust.leads_out"),
        "trust.programs": named(files_ending(path, PROGRAMS)),
    }


def _foreign_shards(path: Path) -> list[str]:
    """Names in lists of weight files that lie outside of the folder of the list."""
    found = []
    for index in [*path.glob("*/*.safetensors.index.json"), *path.glob("*/*/*.safetensors.index.json")]:
        listed = (json_object(index) or {}).get("weight_map")
        names = {str(name) for name in listed.values()} if isinstance(listed, dict) else set()
        found += [
            tr("{name} names {name_2}", name=index.name, name_2=name)
            for name in sorted(names)
            if inside(index.parent, name) is None
        ]
    return found


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One SEC-* rule that fired."""

    rule: str
    """`sft-advisor explain ID` shows its condition and sources."""
    title: str
    """The situation in a few words."""
    what: str
    """What was found, with the names of files."""
    why: str
    """Why it matters."""
    fix: str
    """What to do."""


class Vetted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `vet`."""

    schema: Literal["sft-advisor/vet/v1"] = "sft-advisor/vet/v1"
    """Name and version of this document."""
    name: str
    """What was looked at."""
    kind: Kind
    """What it was taken for."""
    findings: tuple[Finding, ...]
    """What should be known first; empty when nothing was found."""
