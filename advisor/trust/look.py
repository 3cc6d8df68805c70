"""trust_facts: what kind of input a name stands for, and what is to be known of it.

    kind, facts = trust_facts("./model")        facts: trust.own_code -> "auto_map in config.json", ...

Nothing is loaded, run or fetched: files of this disk are read with limits, and only as far as the checks need.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.model.licence import CARD, limited_licence
from advisor.trust.commands import does_more
from advisor.trust.files import Lying, lying_in
from advisor.trust.model import gguf_facts, model_facts
from advisor.trust.published import Published, unlike
from advisor.trust.signs import Named, hidden_text, in_strings, leads_out, named, secret, ways_out
from advisor.trust.written import plan_file, written_facts, written_kind
from trainers.foreign.files import CONFIG_BYTES, json_object, read_small_file
from trainers.foreign.text import brief, comment
from trainers.run_folder import layout
from trainers.run_folder.checkpoint import SEAL, checkpoint_problems
from trainers.run_folder.metrics import read_metrics

Kind = Literal["model", "dataset", "run", "plan", "answers", "rules", "profile"]
TrustFacts = dict[str, str]
_TRAINING_STATE = re.compile(
    r"(?:optimizer|scheduler|scaler|training_args|pytorch_model_fsdp|rng_state(?:_\d+)?|\w*mp_rank_\w+_states)\.(?:pth?|bin)"
)
"""Files of a checkpoint that a resume loads with weights_only."""
_DATA_FILES = re.compile(
    r"^[ \t]*-?[ \t]*(?:data_files|data_dir|path):[ \t]*(\S+)|^[ \t]*-[ \t]*(\S+)[ \t]*$", re.MULTILINE
)
"""Where a card says which files are examples: behind a key, or in the list below it."""
_ELSEWHERE = re.compile(
    r"<script|<iframe|<object|<embed|<form|<base|http-equiv=.?refresh|javascript:|<[^>]*[\s/\"']on\w+\s*="
    r"|(?:src|srcset|poster|@import)[=\s]+.?(?:https?:)?//|<link\b[^>]*href|url\(\s*.?(?:https?:)?//",
    re.IGNORECASE,
)
"""What a report of a run never holds: it has no script and asks for nothing."""


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
        weights = (*path.glob("*.safetensors"), *path.glob("*.gguf"))
        return "model" if weights or any((path / name).exists() for name in marks) else "dataset"
    return "model" if path.suffix.lower() == ".gguf" else "dataset"


def _model(path: Path) -> dict[str, str | None]:
    if not path.is_dir():
        return gguf_facts(path)
    return model_facts(path) | (_checkpoint(path) if (path / SEAL).is_file() else {})


def _checkpoint(path: Path) -> dict[str, str | None]:
    """What a model is that a trainer keeps its own state beside, sealed when it was whole."""
    lying = lying_in(path)
    return {
        "trust.pickles": named(name for name in lying.pickles if not _is_sealed_state(path, name)),
        "trust.damaged": named([*lying.damaged, *checkpoint_problems(path)]),
    }


def dataset_facts(path: Path) -> dict[str, str | None]:
    """Of a file or folder of examples: hidden text in rows and columns, programs, ways out, what cannot be read."""
    from trainers.errors import ExamplesError
    from trainers.examples.source import open_source

    lying = lying_in(path) if path.is_dir() else Lying()
    hidden, secrets, outside = Named(lying.hidden_text), Named(lying.secrets), Named(lying.leading_out)
    outside.add(_data_elsewhere(path))
    damaged = Named(lying.damaged)
    try:
        for row in open_source(str(path)).rows():
            where = tr("row {line}", line=row.line)
            if row.value is not None:
                hidden.add(in_strings(hidden_text, row.value, where))
                secrets.add(in_strings(secret, row.value, where))
                outside.add(ways_out(row.value, where))
            elif row.problem:
                damaged.add([tr("row {line} is {problem}", line=row.line, problem=row.problem)])
    except ExamplesError as error:
        damaged.add([error.what])
    return {
        "trust.hidden_text": hidden.phrase(),
        "trust.secrets": secrets.phrase(),
        "trust.damaged": damaged.phrase(),
        "trust.programs": named(lying.programs),
        "trust.pickles": named(lying.pickles),
        "trust.leads_out": outside.phrase(),
        "trust.licence_limits": limited_licence(path) if path.is_dir() else None,
    }


def _data_elsewhere(folder: Path) -> list[str]:
    """Files outside of the folder, or of the web, that the card would have `datasets` read as its examples."""
    try:
        text = read_small_file(folder / CARD, CONFIG_BYTES).decode(errors="replace").partition("\n---")[0]
    except OSError:
        return []
    said = [one.strip(" \t\"'[],") for found in _DATA_FILES.findall(text) for one in found]
    return [f"{CARD}: {brief(comment(one))}" for one in said if leads_out(one) or "://" in one]


def _run(path: Path) -> dict[str, str | None]:
    facts = plan_file(path / layout.PLAN) if (path / layout.PLAN).exists() else {}
    if (path / layout.RESULT).is_dir():
        facts |= {key: said for key, said in model_facts(path / layout.RESULT).items() if said}
    lying, records = lying_in(path), _records(path)
    checkpoints = sorted((path / layout.CHECKPOINTS).glob("checkpoint-*"))
    sealed = [one for one in checkpoints if (one / SEAL).is_file()]
    damaged = [said] if (said := facts.get("trust.damaged")) else []
    damaged += lying.damaged
    damaged += [f"{one.name}: {said}" for one in sealed for said in checkpoint_problems(one)]
    if (path / layout.RUN).exists() and layout.RUN not in records:
        damaged.append(tr("{run} holds no JSON object", run=layout.RUN))
    found: dict[str, list[str]] = {
        "trust.unsealed": [one.name for one in checkpoints if one not in sealed],
        "trust.damaged": damaged,
        "trust.pickles": [name for name in lying.pickles if not _is_sealed_state(path, name)],
        "trust.leads_out": lying.leading_out,
        "trust.programs": lying.programs + _pages(path, lying.pages),
        "trust.hidden_text": lying.hidden_text + _in_records(hidden_text, records) + _in_metrics(path, hidden_text),
        "trust.secrets": lying.secrets + _in_records(secret, records) + _in_metrics(path, secret),
        "trust.serve_command": _serving(records.get(layout.SERVE)),
    }
    return {**facts, **{key: said for key, names in found.items() if (said := named(names))}}


def _is_sealed_state(run: Path, name: str) -> bool:
    """Whether a file is what a trainer keeps of itself in a checkpoint that was sealed when it was whole."""
    file = run / name
    return bool(_TRAINING_STATE.fullmatch(file.name)) and any(
        (folder / SEAL).is_file() for folder in (file.parent, file.parent.parent)
    )


def _records(path: Path) -> dict[str, dict[str, Any]]:
    """The files of a run that are shown to people, as far as they can be read."""
    names = (layout.RUN, layout.SAMPLES, layout.SERVE, layout.RECOMMENDATION, layout.ADAPTERS)
    found = {name: json_object(path / name) for name in names}
    return {name: record for name, record in found.items() if record is not None}


def _in_records(check: Callable[[str], str | None], records: dict[str, dict[str, Any]]) -> list[str]:
    return [one for name, record in records.items() for one in in_strings(check, record, name)]


def _in_metrics(run: Path, check: Callable[[str], str | None]) -> list[str]:
    try:
        rows = read_metrics(run)
    except OSError:
        return []
    return in_strings(check, rows, layout.METRICS)


def _serving(engines: dict[str, Any] | None) -> list[str]:
    """Commands to be pasted that do more than serve."""
    said = [one.get("command") for one in (engines or {}).values() if isinstance(one, dict)]
    return [command for command in said if isinstance(command, str) and does_more(command)]


def _pages(path: Path, pages: list[str]) -> list[str]:
    """Reports that do what a report of a run never does."""
    found = []
    for name in pages:
        with contextlib.suppress(OSError):
            text = read_small_file(path / name, CONFIG_BYTES).decode("utf-8", "replace")
            if odd := _ELSEWHERE.search(text):
                found.append(f"{name}: {comment(odd.group())}")
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
