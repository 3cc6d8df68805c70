"""Ask what is handed over: questions that were kept back, put to llama.cpp itself and held against the tuned answers.

    python -m trainers.handover.asking MODEL.gguf RUN_DIR

A GGUF file may load and yet answer otherwise than the model that was trained: another template, a start token too
many, a layout that the converter mistook. xllamacpp (`pip install xllamacpp`) holds llama.cpp's own server, with the
chat template out of the file; it runs as a child, for a native library may end its process. No torch.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from trainers.errors import DeliveryDiffers, EnvironmentLacking
from trainers.foreign.files import json_object
from trainers.language import tr
from trainers.python import child_environment, module_command
from trainers.run_folder import layout

ENGINE = "xllamacpp"
LEAST_AGREEMENT = 0.5
"""Mean share of an answer's beginning that has to be the same. Rounding to 16 bits turns a near tie now and then, and
from there on a greedy answer goes its own way; with a wrong template no answer begins alike."""
SECONDS_AT_MOST = 1800
NEW_TOKENS = 64
"""Asked of each answer; the tuned model was asked for as many or more (trainers.training.evaluate)."""


class Answer(msgspec.Struct, frozen=True):
    """One answer of the file."""

    text: str
    cut: bool
    """Whether it had not ended by NEW_TOKENS."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """How the delivered file answered; `asked` of run.json."""

    engine: str
    questions: int
    equal: int
    """Answers that are the same to the last character, or as far as was asked."""
    agreement: float
    """Mean share of the answers' beginning that is the same."""
    first_difference: tuple[str, str, str] | None = None
    """Question, the tuned model's answer, and the delivered file's."""

    @property
    def passed(self) -> bool:
        """Whether it answers as the model that was trained."""
        return self.agreement >= LEAST_AGREEMENT


def is_there() -> bool:
    """Whether the engine is installed."""
    return importlib.util.find_spec(ENGINE) is not None


def ask(gguf: Path, run_dir: Path) -> Asked | None:
    """Put the run's kept-back questions to the file; None when there are none, or none that can be asked again.

    Raises DeliveryDiffers when it answers otherwise than the tuned model, or not at all, and EnvironmentLacking when
    the engine is not installed.
    """
    questions = _questions(run_dir)
    if not questions:
        return None
    if not is_there():
        raise EnvironmentLacking(tr("{engine} is not installed", engine=ENGINE), fix=f"pip install {ENGINE}")
    answers = _answers(gguf, run_dir)
    found = judge(questions, answers)
    if not found.passed:
        asked, tuned, other = found.first_difference or ("", "", "")
        raise DeliveryDiffers(
            tr("{name} does not answer as the model that was trained", name=gguf.name),
            why=tr(
                "in llama.cpp its answers begin alike for {agreement:.0%} of their length; to "
                "{asked!r} the tuned model says {tuned!r}, and the file says {other!r}",
                agreement=found.agreement,
                asked=asked,
                tuned=tuned,
                other=other,
            ),
            fix=tr(
                "do not serve the file; the result itself is whole, for transformers and vLLM; please report this"
            ),
        )
    return found


def judge(questions: Iterable[Mapping[str, Any]], answers: Iterable[Answer]) -> Asked:
    """Both sides set side by side."""
    shares, different = [], []
    for question, answer in zip(questions, answers, strict=True):
        shares.append(_alike(str(question["tuned"]), answer))
        if shares[-1] < 1:
            different.append((str(question["prompt"]), str(question["tuned"]), answer.text))
    return Asked(
        engine=f"{ENGINE} {_version()}",
        questions=len(shares),
        equal=shares.count(1.0),
        agreement=sum(shares) / len(shares),
        first_difference=different[0] if different else None,
    )


def _alike(tuned: str, given: Answer) -> float:
    """Share of an answer, from its beginning on, that both have.

    One that ends too early, or does not end, is another answer; what was cut at NEW_TOKENS is compared as far as it
    goes, which the tuned model's answer reaches too unless it had ended.
    """
    tuned, text = tuned.strip(), given.text.strip()
    if given.cut:
        tuned = tuned[: len(text)]
    if not tuned or not text:
        return float(tuned == text)
    shorter, longer = sorted((len(tuned), len(text)))
    alike = next((place for place in range(shorter) if tuned[place] != text[place]), shorter)
    return alike / longer


def _questions(run_dir: Path) -> list[Mapping[str, Any]]:
    """The samples that can be asked again: those without tools, and with an answer of the tuned model."""
    samples = (json_object(run_dir / layout.SAMPLES) or {}).get("samples")
    return [
        sample
        for sample in (samples if isinstance(samples, list) else [])
        if isinstance(sample, dict) and sample.get("messages") and not sample.get("tools") and sample.get("tuned")
    ]


def _answers(gguf: Path, run_dir: Path) -> list[Answer]:
    command = module_command("trainers.handover.asking", gguf, run_dir)
    environment = child_environment()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SECONDS_AT_MOST, env=environment
        )
    except subprocess.TimeoutExpired as slow:
        raise DeliveryDiffers(
            tr("{name} did not answer within {seconds_at_most} s", name=gguf.name, seconds_at_most=SECONDS_AT_MOST),
            fix=tr("ask it by hand with llama-server --model"),
        ) from slow
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DeliveryDiffers(
            tr("{name} could not be asked in llama.cpp", name=gguf.name), why=last, fix=tr("serve the result itself")
        )
    return msgspec.json.decode(lines[-1], type=list[Answer])


def _version() -> str:
    try:
        return metadata.version(ENGINE)
    except metadata.PackageNotFoundError:
        return ""


def main(arguments: list[str]) -> int:
    """In the child: ask the file, and print the answers as one JSON array."""
    import xllamacpp

    gguf, run_dir = Path(arguments[0]), Path(arguments[1])
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.use_jinja = True
    server = xllamacpp.Server(params)
    answers = []
    for question in _questions(run_dir):
        wanted = {"messages": question["messages"], "max_tokens": NEW_TOKENS, "temperature": 0, "top_k": 1}
        given = server.handle_chat_completions(wanted)["choices"][0]
        answers.append(Answer(given["message"].get("content") or "", given["finish_reason"] == "length"))
    print("\n" + msgspec.json.encode(answers).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
