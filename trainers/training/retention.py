"""What a tune has cost: base and tuned model of a run on a small general set that has nothing to do with its data.

    python -m trainers.training.retention RUN_DIR

Kept in run.json as `retention`: the change of the loss on right answers with its interval, and how many were given.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trainers.examples.example import Example
from trainers.language import tr
from trainers.plan import TrainingPlan
from trainers.run_folder import layout
from trainers.scores.general import general_questions
from trainers.scores.intervals import difference
from trainers.scores.measures import Chosen, Scores, compare
from trainers.training import evaluate
from trainers.training.rendering import Renderer, end_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NEW_TOKENS = 24


class GeneralSet:
    """The questions as `evaluate.score` reads a kept-back part."""

    sight = None

    def __init__(self, plan: TrainingPlan, tokenizer: PreTrainedTokenizerBase, ends: list[int] | int | None) -> None:
        renderer = Renderer(tokenizer, end_tokens(tokenizer, ends), "assistant", plan.leave_out)
        self.examples = [
            Example(messages=({"role": "user", "content": asked}, {"role": "assistant", "content": answer}))
            for asked, answer in general_questions()
        ]
        encoded = [renderer.tokenise(renderer.marker.mark(example)) for example in self.examples]
        self.rows = [{"input_ids": one.input_ids, "labels": one.labels} for one in encoded]

    def eval_rows(self, limit: int) -> list[dict[str, list[int]]]:
        """The first rows, tokenised."""
        return self.rows[:limit]

    def eval_examples(self, limit: int) -> list[Example]:
        """The same as conversations."""
        return self.examples[:limit]


def look(run_dir: Path) -> Scores:
    """Ask both models of a finished run, and keep what they score in its run.json and report.

    Raises PlanRefused for data without turns of an assistant, such as raw text, where a model answers no questions.
    """
    from trainers.handover.report import write_report
    from trainers.methods.models import end_token_ids, load_tokenizer
    from trainers.plan import load_plan
    from trainers.run_folder.record import RunRecord
    from trainers.training import quiet
    from trainers.training.rendering import prepare_tokenizer

    quiet.libraries()
    plan = load_plan(run_dir / layout.PLAN).on_one_device()
    tokenizer = load_tokenizer(plan)
    prepare_tokenizer(tokenizer)
    general = GeneralSet(plan, tokenizer, end_token_ids(plan))
    count = len(general.rows)
    limits = evaluate.Limits(count, count, NEW_TOKENS, evaluate.LONGEST_SECONDS)
    base, tuned = evaluate.both_models(plan, run_dir, tokenizer, general, limits)
    right = [answer for _, answer in general_questions()]
    chosen = Chosen(measure="holds", why=tr("general questions that have nothing to do with the data"))
    found = Scores(
        loss_change=difference(base.row_losses, tuned.row_losses, tuned.row_tokens),
        task=compare(chosen, right, base.answers, tuned.answers),
    )
    RunRecord(run_dir).update(retention=msgspec.to_builtins(found))
    write_report(run_dir)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Look, and print the scores as JSON. Return an exit code of trainers.exit_codes."""
    from trainers.run_folder.failures import explained

    parser = argparse.ArgumentParser(
        prog="python -m trainers.training.retention", description="What a tune has cost."
    )
    parser.add_argument("run_dir", type=Path)
    options = parser.parse_args(arguments)
    return explained(lambda: _say(look(options.run_dir)))


def _say(found: Scores) -> None:
    content: dict[str, Any] = msgspec.to_builtins(found)
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    sys.exit(main())
