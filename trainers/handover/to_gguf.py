"""A result as GGUF, by llama.cpp's own converter and quantiser: in 16 bits, then rounded where that is asked for.

    made = to_gguf(plan, run_dir, folder, name, "Q4_K_M")       # folder/NAME.gguf and folder/NAME-Q4_K_M.gguf

The file in 16 bits is asked what was kept back; of a rounded one the loss is set beside it. No torch in this process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

import msgspec

from trainers.errors import DeliveryDiffers, EnvironmentLacking, PlanRefused
from trainers.foreign.text import shell_line
from trainers.handover import asking
from trainers.language import tr
from trainers.plan import TrainingPlan
from trainers.python import SAFE_ENVIRONMENT, child_environment, module_command
from trainers.run_folder.record import RunRecord

GgufFormat = Literal["16bit", "Q8_0", "Q4_K_M"]
FORMATS: tuple[GgufFormat, ...] = get_args(GgufFormat)
CONVERTERS = {"model": "convert_hf_to_gguf.py", "adapter": "convert_lora_to_gguf.py"}
QUANTIZER = "llama-quantize"
MOST_ADDED_LOSS = 0.1
"""Nats per token. Q8_0 added 0.017 to SmolLM2-135M, and larger models lose less; a broken file adds whole nats."""


class Rounding(msgspec.Struct, frozen=True, kw_only=True):
    """A rounded file beside the model in 16 bits, on the rows that were kept back; `rounding` of run.json."""

    format: str
    bytes: int
    loss: float
    """Nats per supervised token."""
    loss_16bit: float
    tokens: int

    @property
    def said(self) -> str:
        """Both losses in one sentence."""
        return tr(
            "rounded to {format} the loss on the kept-back part is {loss:.4f}, in 16 bits {loss_16bit:.4f} ({tokens} "
            "tokens)",
            format=self.format,
            loss=self.loss,
            loss_16bit=self.loss_16bit,
            tokens=self.tokens,
        )


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """Files that were written into the folder, the one to serve last, and what is to be said of them."""

    files: tuple[str, ...]
    notes: tuple[str, ...]


def to_gguf(plan: TrainingPlan, run_dir: Path, folder: Path, name: str, wanted: GgufFormat) -> Made:
    """Convert the model or adapter in `folder`, and prove what comes out.

    Raises PlanRefused for an adapter that is to be rounded, EnvironmentLacking when a tool of llama.cpp is not
    installed or fails, and DeliveryDiffers for a file that does not answer as the tuned model, or rounds too much
    away.
    """
    adapter = (folder / "adapter_config.json").is_file()
    if adapter and wanted != "16bit":
        raise PlanRefused(
            tr("an adapter is not rounded to {format}", format=wanted),
            why=tr("its matrices are added to a base that has a format of its own"),
            fix=tr(
                "merge it first: {command}",
                command=shell_line(("sft-advisor", "runs", "merge", str(run_dir), "--gguf", wanted)),
            ),
        )
    if wanted == "Q4_K_M":
        _quantizer()  # before the long conversion
    whole = _converted(plan, folder, "adapter.gguf" if adapter else f"{name}.gguf", "f16" if adapter else "bf16")
    notes = _asked(whole, run_dir, adapter)
    if wanted == "16bit":
        return Made(files=(whole.name,), notes=tuple(notes))
    rounded = folder / f"{name}-{wanted}.gguf"
    if wanted == "Q8_0":
        _converted(plan, folder, rounded.name, "q8_0")
    else:
        _run([_quantizer(), str(whole), str(rounded), wanted], rounded, dict(os.environ))
    return Made(files=(whole.name, rounded.name), notes=(*notes, _measured(rounded, run_dir, wanted)))


def find_converter(kind: str) -> Path | None:
    """llama.cpp's converter for `model` or `adapter`: on the PATH, or in $LLAMA_CPP_DIR; None when not installed."""
    return _find(CONVERTERS[kind], ("",))


def find_quantizer() -> Path | None:
    """llama.cpp's quantiser: on the PATH, or in $LLAMA_CPP_DIR, built or unpacked; None when not installed."""
    return _find(QUANTIZER, ("build/bin", "bin", ""))


def _find(program: str, folders: tuple[str, ...]) -> Path | None:
    root = os.environ.get("LLAMA_CPP_DIR")
    places = [Path(root) / folder / program for folder in folders] if root else []
    on_path = shutil.which(program)
    return next((place for place in [*places, *([Path(on_path)] if on_path else [])] if place.is_file()), None)


def _quantizer() -> str:
    found = find_quantizer()
    if found is None:
        raise EnvironmentLacking(
            tr("{program} of llama.cpp is not installed", program=QUANTIZER),
            why=tr("it is what rounds to Q4_K_M; Q8_0 needs the converter only"),
            fix=tr("build llama.cpp, then set LLAMA_CPP_DIR to its folder; or take --gguf Q8_0"),
        )
    return str(found)


def _converted(plan: TrainingPlan, folder: Path, name: str, floats: str) -> Path:
    kind = "adapter" if floats == "f16" else "model"
    converter = find_converter(kind)
    if converter is None:
        raise EnvironmentLacking(
            tr("{converters} of llama.cpp is not installed", converters=CONVERTERS[kind]),
            why=tr("GGUF is its format, and it knows each architecture's layout"),
            fix=tr("git clone https://github.com/ggml-org/llama.cpp, then set LLAMA_CPP_DIR to that folder"),
        )
    out = folder / name
    command = [sys.executable, str(converter), str(folder), "--outtype", floats, "--outfile", str(out)]
    if kind == "adapter":
        local = Path(plan.model.name).is_dir()
        command += ["--base", plan.model.name] if local else ["--base-model-id", plan.model.name]
    # the converter imports what lies beside it
    environment = {name: value for name, value in os.environ.items() if name not in SAFE_ENVIRONMENT}
    _run(command, out, environment)
    return out


def _run(command: list[str], out: Path, environment: dict[str, str]) -> None:
    """The command, which is to write `out`. Raises EnvironmentLacking when it fails; nothing half-written stays."""
    out.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode or not out.is_file():
        out.unlink(missing_ok=True)
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        program = Path(command[1] if command[0] == sys.executable else command[0]).name
        raise EnvironmentLacking(tr("{name} failed", name=program), why=last, fix=shell_line(command))


def _asked(gguf: Path, run_dir: Path, adapter: bool) -> list[str]:
    """Ask the file what was kept back. Return what is to be said of it. Raises DeliveryDiffers."""
    if adapter:
        return [tr("adapter.gguf was not asked: it answers only with its base as GGUF")]
    if not asking.is_there():
        return [
            tr(
                "{file} was not asked: pip install {engine}, then deliver it again",
                file=gguf.name,
                engine=asking.ENGINE,
            )
        ]
    found = asking.ask(gguf, run_dir)
    if found is None:
        return [tr("{file} was not asked: nothing was kept back that it could be asked", file=gguf.name)]
    RunRecord(run_dir).update(asked=msgspec.to_builtins(found))
    said = {"file": gguf.name, "equal": found.equal, "questions": found.questions}
    return [tr("asked in llama.cpp, {file} gave {equal} of {questions} answers of the tuned model", **said)]


def _measured(rounded: Path, run_dir: Path, wanted: str) -> str:
    """The loss of the rounded file beside that in 16 bits, as a sentence. Raises DeliveryDiffers where it rose."""
    command = module_command("trainers.training.rounding", run_dir, rounded)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **child_environment()}
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return tr("the loss of {name} was not measured: {why}", name=rounded.name, why=last)
    measured = done.stdout.strip().splitlines()[-1]
    if measured == "null":
        return tr("the loss of {name} was not measured: nothing was kept back", name=rounded.name)
    losses = json.loads(measured)  # Python writes NaN, which the standard does not know
    found = msgspec.convert({**losses, "format": wanted, "bytes": rounded.stat().st_size}, Rounding, strict=False)
    RunRecord(run_dir).update(rounding=msgspec.to_builtins(found))
    if not found.loss - found.loss_16bit <= MOST_ADDED_LOSS:
        raise DeliveryDiffers(
            tr("{name} is not what was trained any more", name=rounded.name),
            why=found.said,
            fix=tr("serve it in 16 bits, or take --gguf Q8_0, which rounds less"),
        )
    return found.said
