"""Ask the base and the tuned model of a run the same, each answer as it is written.

    python -m trainers.training.chat RUN_DIR [--ask TEXT] [--json | --pieces] [--new-tokens N]

An adapter is switched off for the base; a run of full fine-tuning loads both models. Each side keeps its own
conversation, which begins with the system turn that the run's examples share. Answers are greedy, as in the run's
evaluation.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trainers.foreign.files import json_object
from trainers.foreign.text import terminal
from trainers.language import later, tr
from trainers.run_folder import layout

_GAP = re.compile(r"\n(?:[^\S\n]*\n){2,}")
HELP = later("an empty line or /quit ends, /new starts a new conversation")


class Chat:
    """Two models of one run, each with its conversation."""

    def __init__(self, run_dir: Path, new_tokens: int) -> None:
        from trainers.methods import backend
        from trainers.methods.models import load_tokenizer
        from trainers.plan import load_plan
        from trainers.training import quiet
        from trainers.training.rendering import Renderer, prepare_tokenizer

        quiet.libraries()
        self.plan = load_plan(run_dir / layout.PLAN).on_one_device()
        self.new_tokens = new_tokens
        self.method = backend(self.plan.method)
        self.tokenizer = load_tokenizer(self.plan)
        prepare_tokenizer(self.tokenizer)
        self.renderer = Renderer(self.tokenizer, set(), self.plan.loss_on, self.plan.leave_out)
        self.tuned = self.method.attach(self.plan, run_dir / layout.RESULT)
        self.base = self.tuned if self.plan.trains_adapter else self.method.load(self.plan).eval()
        self.system = shared_system_turn(run_dir)
        self.forget()

    def forget(self) -> None:
        """Start a new conversation."""
        opening = [{"role": "system", "content": self.system}] if self.system else []
        self.turns: dict[str, list[dict[str, Any]]] = {who: list(opening) for who in ("base", "tuned")}

    def ask(self, question: str, who: str, write: Callable[[str], object]) -> str:
        """The answer of `base` or `tuned`, given to `write` piece by piece as well."""
        turns = self.turns[who]
        turns.append({"role": "user", "content": question})
        with self._model(who) as model:
            answer = self._generate(model, self.renderer.opening(turns, None), write)
        turns.append({"role": "assistant", "content": answer})
        return answer

    @contextlib.contextmanager
    def _model(self, who: str) -> Iterator[Any]:
        if who == "tuned" or not self.plan.trains_adapter:
            yield self.tuned if who == "tuned" else self.base
            return
        with self.method.as_base(self.tuned):
            yield self.tuned

    def _generate(self, model: Any, prompt: str, write: Callable[[str], object]) -> str:
        import torch
        from transformers import TextStreamer

        pieces: list[str] = []

        class Pieces(TextStreamer):
            def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
                """Pass a piece on."""
                pieces.append(text)
                write(text)

        inputs = self.tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        inputs = inputs.to(next(model.parameters()).device)
        with torch.no_grad():
            model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=self.new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self.tokenizer.pad_token_id,
                streamer=Pieces(self.tokenizer, skip_prompt=True, skip_special_tokens=True),
            )
        return "".join(pieces)


def shared_system_turn(run_dir: Path) -> str:
    """What stands before each kept-back question that the run was asked, and so before its examples; else nothing."""
    samples = (json_object(run_dir / layout.SAMPLES) or {}).get("samples")
    openings = set()
    for sample in samples if isinstance(samples, list) else []:
        turns = sample.get("messages") if isinstance(sample, dict) else None
        first = turns[0] if isinstance(turns, list) and turns and isinstance(turns[0], dict) else {}
        content = first.get("content")
        openings.add(content if first.get("role") == "system" and isinstance(content, str) else "")
    return openings.pop() if len(openings) == 1 else ""


def main(arguments: list[str] | None = None) -> int:
    """Talk. Return an exit code of trainers.exit_codes."""
    from trainers.run_folder.failures import explained

    parser = argparse.ArgumentParser(prog="python -m trainers.training.chat", description="Ask base and tuned model.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--ask", help="one question instead of a conversation")
    parser.add_argument("--json", action="store_true", help="both answers as JSON")
    parser.add_argument("--pieces", action="store_true", help="each piece of an answer as a line of JSON")
    parser.add_argument("--new-tokens", type=int, default=256, help="longest answer, in tokens")
    options = parser.parse_args(arguments)
    if options.pieces:
        return explained(lambda: _in_pieces(Chat(options.run_dir, options.new_tokens), options.ask or ""))
    return explained(lambda: _talk(Chat(options.run_dir, options.new_tokens), options.ask, options.json))


def _in_pieces(chat: Chat, question: str) -> None:
    """Both answers for a program that shows them as they are written."""
    for who in ("base", "tuned"):
        chat.ask(question, who, lambda piece: print(json.dumps({"who": who, "piece": piece}), flush=True))  # noqa: B023


def _talk(chat: Chat, question: str | None, as_json: bool) -> None:
    if as_json:
        answers = {who: chat.ask(question or "", who, lambda _: None) for who in ("base", "tuned")}
        print(json.dumps({"prompt": question, **answers}, ensure_ascii=True))
        return
    if question is not None:
        _answer(chat, question)
        return
    print(tr(HELP))
    if chat.system:
        _write(tr("it begins with the system turn of the examples: {system}", system=chat.system) + "\n")
    while question := _line():
        if question == "/quit":
            return
        if question == "/new":
            chat.forget()
        else:
            _answer(chat, question)


def _answer(chat: Chat, question: str) -> None:
    for who in ("base", "tuned"):
        sys.stdout.write(f"{who}> ")
        shown = _WithoutGaps(_write)
        chat.ask(question, who, shown)
        _write("\n" if shown.has_begun else tr("(an empty answer)") + "\n")


class _WithoutGaps:
    """Writes pieces on, of several blank lines one: a model that has learnt little writes whole screens of them."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write, self.has_begun, self.held = write, False, ""

    def __call__(self, piece: str) -> None:
        text = self.held + piece
        said = text.rstrip()
        if not said:
            self.held = text
            return
        self.held = text[len(said) :]
        self.write(_GAP.sub("\n\n", said if self.has_begun else said.lstrip()))
        self.has_begun = True


def _write(text: str) -> None:
    sys.stdout.write(terminal(text))
    sys.stdout.flush()


def _line() -> str:
    try:
        return input("you> ").strip()
    except EOFError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
