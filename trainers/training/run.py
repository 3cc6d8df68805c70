"""The training process, from a plan to a result. Reads from top to bottom: `main`, `train`, then each step.

    python -m trainers.training.run PLAN.toml --run-dir DIR [--resume auto|never|CHECKPOINT]
    torchrun --nproc-per-node 2 -m trainers.training.run PLAN.toml --run-dir DIR

What it leaves in DIR: plan.toml, run.json, metrics.jsonl, data/, checkpoints/, result/, samples.json, loss.png,
report.html. How it ends is one of trainers.exit_codes; run.json says why.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from trainers import exit_codes
from trainers.errors import CheckpointDoubted, EnvironmentLacking, PlanRefused, RunError
from trainers.language import tr
from trainers.plan import PlanError, TrainingPlan, load_plan
from trainers.run_folder import layout
from trainers.run_folder.checkpoint import if_the_disk_holds_it, quarantine
from trainers.run_folder.failures import LOST_TOUCH, judge, keep_trace, tell
from trainers.run_folder.fingerprint import hold_to_start
from trainers.run_folder.record import RunRecord, is_finished, read_record
from trainers.supervision.checks import Check
from trainers.training import environment
from trainers.training.ending import end_process, leave_group
from trainers.training.placement import choose_devices, rank, say
from trainers.training.result import deliver_best, draw, look_at_result, make_ready, save_result, training_facts
from trainers.training.session import Session, prepare

if TYPE_CHECKING:
    from trainers.training.evaluate import Limits

Trial = Literal["only", "first"]
"""Of the longest batch: nothing but that, or that and then the training."""


def main(arguments: list[str] | None = None) -> int:
    """Carry out one plan. Return an exit code of trainers.exit_codes."""
    options = _parser().parse_args(arguments)
    run_dir: Path = options.run_dir
    try:
        plan = load_plan(options.plan)
        choose_devices(plan)
    except (PlanError, PlanRefused, EnvironmentLacking) as error:
        code, failure = judge(error, "starting")
        tell(failure)
        return code
    record = RunRecord(run_dir, writes=rank() == 0)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = train(plan, run_dir, record, options)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
        record.end(code)
    except BaseException as error:  # noqa: BLE001  the outermost frame: whatever it is becomes a message and a code
        code, failure = judge(error, record.current_phase)
        if code == exit_codes.CRASHED and not isinstance(error, RunError):
            failure["fix"] = keep_trace(error, run_dir)
        with if_the_disk_holds_it():
            _note(record, code, failure)
        with if_the_disk_holds_it():
            tell(failure)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code


def train(plan: TrainingPlan, run_dir: Path, record: RunRecord, options: argparse.Namespace) -> int:
    """Everything between a plan and its result, in this process. Raises whatever goes wrong.

    A run that has finished is left as it is. With `preflight` the longest batch is tried before anything else; with
    `until` the run stops at that step with a checkpoint, unless it ends there.
    """
    preflight: Trial | None = options.preflight
    if not preflight and is_finished(run_dir):
        hold_to_start(plan, run_dir)
        say(
            tr(
                "{run_dir} has finished already: its result is in {result}",
                run_dir=run_dir,
                result=run_dir / layout.RESULT,
            )
        )
        return exit_codes.DONE
    checks = environment.look(plan, record) if preflight else []
    session = prepare(plan, run_dir, record, options.resume, options.until)
    session.limits = limits_asked(plan, options)
    if preflight and not (tried(session, checks) and preflight == "first"):
        record.end(exit_codes.DONE)
        return exit_codes.DONE
    score_base(session)
    with record.phase("training"):
        go_through_steps(session)
    record.update(**training_facts(session))
    if session.stop.stopped:
        record.end(exit_codes.STOPPED)
        return exit_codes.STOPPED
    with record.phase("saving"):
        deliver_best(session)
        save_result(session)
    session.stop.release()
    if session.is_main:
        look_at_result(session)
        make_ready(session)
        record.end(exit_codes.DONE)
        draw(run_dir)
    leave(session)
    return exit_codes.DONE


def limits_asked(plan: TrainingPlan, options: argparse.Namespace) -> Limits | None:
    """How much of the kept-back part is looked at, where the command line says; the time is then no limit."""
    from trainers.training import evaluate

    named = {"examples": options.examples, "samples": options.samples, "new_tokens": options.new_tokens}
    asked = {name: value for name, value in named.items() if value is not None}
    if not asked:
        return None
    return msgspec.structs.replace(evaluate.limits_for(plan), seconds=evaluate.LONGEST_SECONDS, **asked)


def tried(session: Session, checks: list[Check]) -> bool:
    """Try the longest batch. True when the session can go on as if it had not; no resume starts over for it."""
    from trainers.training.longest_batch import try_longest_batch

    return try_longest_batch(session, checks)


def go_through_steps(session: Session) -> None:
    """Train from the session's checkpoint, or from the start. A checkpoint that proves wrong goes to quarantine."""
    checkpoint = session.checkpoint
    try:
        session.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except CheckpointDoubted as error:
        if checkpoint and session.is_main:
            quarantine(checkpoint, [error.what])
        raise


def score_base(session: Session) -> None:
    """The base on the kept-back part, once, while it is in memory and untouched; a resume finds it written."""
    from trainers.training import evaluate

    known = session.checkpoint is not None or evaluate.base_score(session.run_dir) is not None
    if known or not (session.is_main and session.in_one_piece):
        return
    with session.record.phase("base_evaluation"), session.method.as_base(session.trainer.model):
        found = evaluate.score(session.trainer.model, session.tokenizer, session.data, session.plan, session.limits)
        evaluate.keep_base_score(session.run_dir, found)


def leave(session: Session) -> None:
    """All ranks leave together: rank 0 was still evaluating."""
    session.trainer.accelerator.wait_for_everyone()
    leave_group()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainers.training.run", description="Train by a plan.")
    parser.add_argument("plan", type=Path, help="the plan file")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of this run")
    parser.add_argument(
        "--resume", default="auto", help="auto (the newest complete checkpoint), never, or a checkpoint folder"
    )
    parser.add_argument(
        "--preflight", choices=get_args(Trial), help="try the longest batch, and nothing more; or first, then train"
    )
    parser.add_argument("--until", type=int, metavar="STEP", help="stop at this step with a checkpoint")
    parser.add_argument("--examples", type=int, help="kept-back rows to compute the loss on, before and after")
    parser.add_argument("--samples", type=int, help="kept-back examples to answer, before and after")
    parser.add_argument("--new-tokens", type=int, help="longest answer, in tokens")
    return parser


def _note(record: RunRecord, code: int, failure: dict[str, Any]) -> None:
    """Write a failure down. When another rank failed first, its reason stands, not that this one lost touch."""
    known = read_record(record.path).get("failure") or {}
    if failure["what"] == LOST_TOUCH and known:
        return
    record.writes = record.writes or code != exit_codes.CRASHED
    record.end(code, failure)


if __name__ == "__main__":
    end_process(main())
