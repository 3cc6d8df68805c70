"""Make a result ready: `python -m trainers.handover.deliver RUN_DIR [--folder DIR] [--base-name NAME] [--gguf Q8_0]`.

Writes into the folder of the result (the merged model when there is one): README.md, the commands that serve it, an
Ollama Modelfile with the trained chat template, the published name of the base inside an adapter, and GGUF where
llama.cpp's converter is installed. No torch.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import msgspec

from trainers.errors import PlanRefused
from trainers.foreign.files import json_object
from trainers.foreign.records import printable
from trainers.foreign.text import comment, terminal
from trainers.handover.card import model_card
from trainers.handover.ollama import NoModelfile, modelfile
from trainers.handover.serving import Served, as_published, commands, published
from trainers.handover.to_gguf import FORMATS, GgufFormat, to_gguf
from trainers.language import later, tr
from trainers.plan import Engine, load_plan
from trainers.run_folder import layout
from trainers.run_folder.failures import explained
from trainers.run_folder.record import read_record
from trainers.writing import write_atomically


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What is ready, and what stands in the way of the rest."""

    folder: Path
    """Where the files lie."""
    artifact: str
    """`adapter` or `model`."""
    served: dict[Engine, Served]
    """How each engine serves it."""
    files: tuple[str, ...]
    """Names of the files that were written for those who use it."""
    notes: tuple[str, ...] = ()
    """What stands in the way of the rest, each as a sentence."""


def deliver(
    run_dir: Path,
    *,
    folder: Path | None = None,
    base_name: str | None = None,
    name: str | None = None,
    gguf: GgufFormat | None = None,
) -> Delivered:
    """Make the run's result ready: what is in `folder`, else RUN/merged, else RUN/result.

    `base_name` is how others find the base; None keeps the plan's. Raises PlanRefused when there is no result yet,
    and what `to_gguf` raises when a format of GGUF is wanted.
    """
    plan = load_plan(run_dir / layout.PLAN)
    folder = artifact(run_dir, folder)
    adapter = (folder / "adapter_config.json").is_file()
    base, name = base_name or plan.model.name, name or run_dir.resolve().name
    notes = []
    if adapter:
        _rename_base(folder, base)
    if Path(base).exists():
        notes.append(
            tr("the base is a folder of this machine ({base}); name the published one with --base-name", base=base)
        )
    served = commands(plan, folder, base=base, name=name)
    files = [layout.MODEL_CARD, layout.SERVE]
    source = "BASE.gguf" if adapter else f"{name}.gguf"
    if gguf:
        made = to_gguf(plan, run_dir, folder, name, gguf)
        files += made.files
        notes += made.notes
        source = source if adapter else made.files[-1]
    problem = _write_modelfile(folder, source, base, adapter)
    files += [] if problem else [layout.MODELFILE]
    notes += [tr("no Modelfile: {problem}", problem=problem)] if problem else []
    record = read_record(run_dir / layout.RUN)
    card = model_card(plan, record, folder=folder, base=base, name=name, served=served)
    write_atomically(folder / layout.MODEL_CARD, card.encode())
    write_atomically(
        folder / layout.SERVE, msgspec.json.format(msgspec.json.encode(as_published(served, folder, base)))
    )
    return Delivered(
        folder=folder,
        artifact=later("adapter") if adapter else later("model"),
        served=served,
        files=tuple(sorted(files)),
        notes=tuple(notes),
    )


def artifact(run_dir: Path, asked: Path | None) -> Path:
    """Folder of what is delivered: `asked`, else the merged model, else the result. Raises PlanRefused for none."""
    for folder in [asked] if asked else [run_dir / layout.MERGED, run_dir / layout.RESULT]:
        if (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file():
            return folder
    if asked:
        raise PlanRefused(
            tr("{asked} holds no result of {run_dir}", asked=asked, run_dir=run_dir),
            why=tr("neither a model nor an adapter is in it"),
            fix=tr("sft-advisor runs merge {run_dir} --output {asked} --deliver", run_dir=run_dir, asked=asked),
        )
    raise PlanRefused(
        tr("{run_dir} has no result to deliver", run_dir=run_dir),
        why=tr("the run has not finished"),
        fix=f"sft-advisor runs resume {run_dir}",
    )


def _rename_base(folder: Path, base: str) -> None:
    """The adapter names the base that the trainer saw; others need the published name."""
    path = folder / "adapter_config.json"
    content = json_object(path)
    if content is None:
        raise PlanRefused(
            tr("{path} cannot be read", path=path),
            why=tr("it is no JSON object"),
            fix=tr("train or save the adapter again"),
        )
    content["base_model_name_or_path"] = published(base)
    write_atomically(path, json.dumps(content, indent=2).encode())


def _write_modelfile(folder: Path, source: str, base: str, adapter: bool) -> str | None:
    """Write the Modelfile next to the result. Return the reason when there can be none."""
    try:
        content = modelfile(f"./{source}", folder, adapter="./adapter.gguf" if adapter else None)
    except NoModelfile as problem:
        return str(problem)
    named = comment(published(base))
    hint = f"# BASE.gguf is {named} as GGUF; adapter.gguf comes from convert_lora_to_gguf.py\n" if adapter else ""
    write_atomically(folder / layout.MODELFILE, (hint + content).encode())
    return None


def main(arguments: list[str] | None = None) -> int:
    """The command. Return an exit code of trainers.exit_codes."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.handover.deliver", description="Make a result ready to hand over."
    )
    parser.add_argument("run_dir", type=Path, help="folder of a finished run")
    parser.add_argument("--folder", type=Path, help="folder of the result (RUN_DIR/merged, else RUN_DIR/result)")
    parser.add_argument("--base-name", help="how others find the base model, such as a hub id")
    parser.add_argument("--name", help="name to serve it under (that of the run folder)")
    parser.add_argument(
        "--gguf", nargs="?", const=FORMATS[0], choices=FORMATS, help="convert with llama.cpp's tools, and round"
    )
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    options = parser.parse_args(arguments)

    def act() -> None:
        wanted = {"folder": options.folder, "base_name": options.base_name, "name": options.name}
        done = deliver(options.run_dir, **wanted, gguf=options.gguf)
        if options.json:
            print(printable(done))
            return
        what = {"artifact": tr(done.artifact), "folder": done.folder, "files": ", ".join(done.files)}
        lines = [tr("{artifact} in {folder}: {files}", **what)]
        for engine, how in done.served.items():
            said = how.command or tr("not as it is: {refused}", refused=how.refused)
            lines.append(f"{engine}:\n  " + said.replace("\n", "\n  "))
        lines += [tr("note: {note}", note=note) for note in done.notes]
        print(terminal("\n".join(lines)))

    return explained(act)


if __name__ == "__main__":
    sys.exit(main())
