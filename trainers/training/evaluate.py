"""Base against tuned on the part of the data that was kept back: loss, perplexity, exact answers, samples.

    python -m trainers.training.evaluate RUN_DIR [--examples N] [--samples N] [--new-tokens N]

During a run the base is looked at before the first step, while it is in memory anyway, and the tuned model at the
end. Loss is per supervised token, each token counting the same; answers are greedy.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from trainers.examples.example import Example
from trainers.examples.slots import without_slots
from trainers.foreign.files import json_object
from trainers.language import tr
from trainers.methods.models import products_as_planned
from trainers.plan import TrainingPlan
from trainers.run_folder import layout
from trainers.scores.intervals import difference
from trainers.scores.measures import Scores, choose, compare
from trainers.training.answers import answers_to, questions_of
from trainers.training.dataset import PreparedData
from trainers.training.placement import say
from trainers.training.rendering import IGNORED, Renderer
from trainers.training.sight import PICTURES, Sight
from trainers.writing import write_atomically

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


PROGRESS_SECONDS = 15.0
"""Between two lines about an evaluation that takes long."""


class Limits(msgspec.Struct, frozen=True):
    """How much of the kept-back part is looked at."""

    examples: int
    """Rows that the loss is computed on; 0: the loss is not computed."""
    samples: int
    new_tokens: int
    seconds: float
    """Longest time that generation may take for each model."""


LONGEST_SECONDS = 3600.0
"""Of generation where a person says how much of it there shall be."""
ON_CPU = Limits(examples=64, samples=4, new_tokens=64, seconds=30.0)
ON_GPU = Limits(examples=512, samples=16, new_tokens=256, seconds=120.0)


class KeptBack(Protocol):
    """What is asked of rows that models are scored on."""

    def eval_rows(self, limit: int) -> Any:
        """At most `limit` rows with `input_ids` and `labels`; None where there are none."""

    def eval_examples(self, limit: int) -> list[Example]:
        """The same rows as conversations."""

    @property
    def sight(self) -> Sight | None:
        """What reads the pictures that rows name; None where there are words alone."""


class Score(msgspec.Struct, kw_only=True):
    """One model on the kept-back part."""

    loss: float | None = None
    """Nats per supervised token; None when nothing was kept back."""
    tokens: int = 0
    examples: int = 0
    row_losses: list[float] = []
    """Nats per supervised token of each row, and how many tokens that is: what an interval is drawn from."""
    row_tokens: list[int] = []
    answers: list[str] = []
    exact: int = 0
    """Answers equal to the reference, of those whose reference fits into the tokens allowed."""
    exact_of: int = 0

    @property
    def perplexity(self) -> float | None:
        """e to the loss; None without a loss or where it overflows."""
        return math.exp(self.loss) if self.loss is not None and self.loss < 700 else None


def limits_for(plan: TrainingPlan) -> Limits:
    """Small on a CPU, where a sample takes seconds."""
    return ON_CPU if plan.accelerator == "cpu" else ON_GPU


def score(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    data: KeptBack,
    plan: TrainingPlan,
    limits: Limits | None = None,
) -> Score:
    """Loss and greedy answers of `model` as it is now; its mode is put back."""
    import torch

    limits = limits or limits_for(plan)
    was_training = model.training
    model.eval()
    try:
        # Not inference_mode: what a model caches in it (rotary tables) could not be trained with afterwards.
        with torch.no_grad(), products_as_planned(model, plan), _without_router_losses(model):
            result = Score()
            _add_loss(result, model, data, limits)
            questions = questions_of(data.eval_examples(limits.samples))
            renderer = Renderer(tokenizer, set(), plan.loss_on, plan.leave_out, data.sight)
            if questions:
                say(
                    tr(
                        "answering {num_questions} kept-back examples, {seconds:.0f} s at most",
                        num_questions=len(questions),
                        seconds=limits.seconds,
                    )
                )
            result.answers = answers_to(questions, model, renderer, limits.new_tokens, limits.seconds)
    finally:
        model.train(was_training)
    for answer, question in zip(result.answers, questions, strict=True):
        if len(tokenizer(question.reference, add_special_tokens=False)["input_ids"]) < limits.new_tokens:
            result.exact_of += 1
            result.exact += answer.strip() == question.reference.strip()
    return result


@contextlib.contextmanager
def _without_router_losses(model: Any) -> Iterator[None]:
    """TRL asks a mixture of experts for its balancing loss in every forward pass; generation cannot compute it."""
    config = model.config.get_text_config()
    asked = getattr(config, "output_router_logits", None)
    if asked:
        config.output_router_logits = False
    try:
        yield
    finally:
        if asked:
            config.output_router_logits = asked


def _add_loss(result: Score, model: Any, data: KeptBack, limits: Limits) -> None:
    """Sum of negative log-likelihoods over supervised tokens, one row at a time; only their logits are computed."""
    import torch

    rows = data.eval_rows(limits.examples)
    if not rows:
        return
    device = next(model.parameters()).device
    total = 0.0
    due = time.monotonic() + PROGRESS_SECONDS
    for place, row in enumerate(rows):
        if time.monotonic() >= due:
            due = time.monotonic() + PROGRESS_SECONDS
            say(tr("evaluated {place} of {num_rows} kept-back examples", place=place, num_rows=len(rows)))
        targets = torch.tensor(row["labels"][1:], device=device)
        places = (targets != IGNORED).nonzero().flatten()
        if not len(places):
            continue
        beside = data.sight.beside(row["input_ids"], row[PICTURES], device) if data.sight else {}
        ids = torch.tensor([row["input_ids"]], device=device)
        logits = model(input_ids=ids, logits_to_keep=places, use_cache=False, **beside).logits[0].float()
        nats = torch.nn.functional.cross_entropy(logits, targets[places], reduction="sum").item()
        total += nats
        result.row_losses.append(nats / len(places))
        result.row_tokens.append(len(places))
        result.tokens += len(places)
        result.examples += 1
    result.loss = total / result.tokens if result.tokens else None


def write_samples(
    run_dir: Path,
    data: PreparedData,
    plan: TrainingPlan,
    base: Score | None,
    tuned: Score,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """samples.json: both scores and the answers beside their references. Return what run.json says of it."""
    questions = questions_of(data.eval_examples((limits or limits_for(plan)).samples))
    samples = [
        {
            "messages": without_slots(question.messages),
            "tools": question.tools,
            "prompt": without_slots(question.messages)[-1]["content"],
            **({"pictures": question.pictures} if question.pictures else {}),
            "reference": question.reference,
            "base": base.answers[index] if base and index < len(base.answers) else None,
            "tuned": answer,
        }
        for index, (question, answer) in enumerate(zip(questions, tuned.answers, strict=True))
    ]
    scores = {"base": summary(base), "tuned": summary(tuned)}
    found = compared([question.reference for question in questions], base, tuned)
    rows = {
        "tokens": tuned.row_tokens,
        "base": base.row_losses if base else None,
        "tuned": tuned.row_losses,
    }
    content = {**scores, "scores": msgspec.to_builtins(found), "rows": rows, "samples": samples}
    write_atomically(run_dir / layout.SAMPLES, json.dumps(content, indent=1, ensure_ascii=False).encode())
    return {
        "evaluation": scores,
        "scores": msgspec.to_builtins(found),
        "eval_loss_before": base.loss if base else None,
        "eval_loss_after": tuned.loss,
    }


def compared(references: list[str], base: Score | None, tuned: Score) -> Scores:
    """Both models on the same rows: the loss, and the measure that suits the references, each with its interval."""
    answers = base.answers if base and len(base.answers) == len(references) else None
    known = base.row_losses if base and len(base.row_losses) == len(tuned.row_losses) else []
    return Scores(
        loss_change=difference(known, tuned.row_losses, tuned.row_tokens) if known else None,
        task=compare(choose(references), references, answers, tuned.answers),
    )


def in_words(base: Score | None, tuned: Score) -> str:
    """Both scores in one line; empty when nothing was kept back."""
    if tuned.loss is None:
        return ""
    before = f"{base.loss:.4f} -> " if base and base.loss is not None else ""
    line = f"on {tuned.examples} examples kept back: loss {before}{tuned.loss:.4f}"
    if tuned.exact_of:
        exact = f"{base.exact} -> " if base else ""
        line += f", exact answers {exact}{tuned.exact} of {tuned.exact_of}"
    return line


def summary(result: Score | None) -> dict[str, Any] | None:
    """A score without its texts, for run.json."""
    if result is None:
        return None
    return {
        "loss": result.loss,
        "perplexity": result.perplexity,
        "tokens": result.tokens,
        "examples": result.examples,
        "exact": result.exact,
        "exact_of": result.exact_of,
    }


def base_score(run_dir: Path) -> Score | None:
    """The score of the base that an earlier start of this run wrote; None when there is none."""
    try:
        return msgspec.json.decode((run_dir / layout.DATA / layout.BASE_EVALUATION).read_bytes(), type=Score)
    except (OSError, msgspec.DecodeError):
        return None


def keep_base_score(run_dir: Path, result: Score) -> None:
    """Keep it for a resume, which no longer loads the base."""
    write_atomically(run_dir / layout.DATA / layout.BASE_EVALUATION, msgspec.json.encode(result))


def evaluate_run(run_dir: Path, limits: Limits | None = None) -> dict[str, Any]:
    """Load a finished run's base and result, score both on its kept-back part, rewrite samples.json and run.json."""
    from trainers.handover.report import write_report
    from trainers.methods.models import end_token_ids, load_tokenizer
    from trainers.plan import load_plan
    from trainers.run_folder.record import RunRecord
    from trainers.training import quiet
    from trainers.training.dataset import prepare
    from trainers.training.rendering import prepare_tokenizer

    quiet.libraries()
    plan = load_plan(run_dir / layout.PLAN).on_one_device()
    limits = limits or limits_for(plan)
    tokenizer = load_tokenizer(plan)
    prepare_tokenizer(tokenizer)
    data = prepare(plan, tokenizer, run_dir, end_token_ids(plan))
    base, tuned = both_models(plan, run_dir, tokenizer, data, limits)
    if not limits.examples:
        _take_losses(run_dir, base, tuned)
    comparison = write_samples(run_dir, data, plan, base, tuned, limits)
    RunRecord(run_dir).update(**comparison)
    write_report(run_dir)
    return comparison


def both_models(
    plan: TrainingPlan, run_dir: Path, tokenizer: PreTrainedTokenizerBase, data: KeptBack, limits: Limits
) -> tuple[Score, Score]:
    """Base and tuned model of a finished run on the same rows."""
    from trainers.methods import backend

    method = backend(plan.method)
    tuned_model = method.attach(plan, run_dir / layout.RESULT)
    _say(tr("the tuned model answers {samples} kept-back examples", samples=limits.samples))
    tuned = score(tuned_model, tokenizer, data, plan, limits)
    _say(tr("the base answers the same"))
    if not plan.trains_adapter or plan.start_adapter:
        del tuned_model  # only one of the two has to fit
        gc.collect()
        began = method.attach(plan, Path(plan.start_adapter)) if plan.start_adapter else method.load(plan)
        return score(began, tokenizer, data, plan, limits), tuned
    with method.as_base(tuned_model):
        return score(tuned_model, tokenizer, data, plan, limits), tuned


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _take_losses(run_dir: Path, base: Score, tuned: Score) -> None:
    """Losses that the run has computed already, into scores that were made without them."""
    from trainers.run_folder.record import read_record

    known = read_record(run_dir / layout.RUN).get("evaluation") or {}
    rows = (json_object(run_dir / layout.SAMPLES) or {}).get("rows") or {}
    for name, found in (("base", base), ("tuned", tuned)):
        found.row_losses, found.row_tokens = rows.get(name) or [], rows.get("tokens") or []
        of_run = known.get(name) or {}
        found.loss, found.tokens = of_run.get("loss"), of_run.get("tokens", 0)
        found.examples = of_run.get("examples", 0)


def main(arguments: list[str] | None = None) -> int:
    """Evaluate a run folder and print both scores as JSON. Return an exit code of trainers.exit_codes."""
    from trainers.run_folder.failures import explained

    parser = argparse.ArgumentParser(
        prog="python -m trainers.training.evaluate", description="Compare base and tuned model."
    )
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--examples", type=int, help="kept-back rows to compute the loss on; 0 keeps the run's own")
    parser.add_argument("--samples", type=int, help="answers to generate")
    parser.add_argument("--new-tokens", type=int, help="longest answer, in tokens")
    options = parser.parse_args(arguments)
    asked = {"examples": options.examples, "samples": options.samples, "new_tokens": options.new_tokens}
    asked = {name: value for name, value in asked.items() if value is not None}
    limits = msgspec.structs.replace(ON_GPU, seconds=LONGEST_SECONDS, **asked) if asked else None
    return explained(lambda: print(json.dumps(evaluate_run(options.run_dir, limits), indent=1)))


if __name__ == "__main__":
    sys.exit(main())
