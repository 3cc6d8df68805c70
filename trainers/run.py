"""The training process, from a plan to a result. Reads from top to bottom: `main`, `train`, then each step.

    python -m trainers.run PLAN.toml --run-dir DIR [--resume auto|never|CHECKPOINT] [--preflight]
    torchrun --nproc-per-node 2 -m trainers.run PLAN.toml --run-dir DIR

What it leaves in DIR: plan.toml, run.json, metrics.jsonl, data/, checkpoints/, result/, samples.json, loss.png,
report.html. How it ends is one of trainers.exit_codes; run.json says why.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from trainers import exit_codes
from trainers.errors import EnvironmentLacking, PlanRefused, RunError
from trainers.failures import LOST_TOUCH, judge, keep_trace, tell
from trainers.placement import choose_devices, rank
from trainers.plan import PlanError, TrainingPlan, load_plan
from trainers.record import RunRecord, read_record
from trainers.result import draw, look_at_result, make_ready, save_result, training_facts
from trainers.session import Session, prepare


def main(arguments: list[str] | None = None) -> int:
    """Carry out one plan; gives an exit code of trainers.exit_codes."""
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
        code = train(plan, run_dir, record, resume=options.resume, preflight=options.preflight)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
        record.end(code)
    except BaseException as error:  # noqa: BLE001  the outermost frame: whatever it is becomes a message and a code
        code, failure = judge(error, record.current_phase)
        if code == exit_codes.CRASHED and not isinstance(error, RunError):
            failure["fix"] = keep_trace(error, run_dir)
        _note(record, code, failure)
        tell(failure)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code


def train(
    plan: TrainingPlan, run_dir: Path, record: RunRecord, *, resume: str = "auto", preflight: bool = False
) -> int:
    """Everything between a plan and its result, in this process. Raises whatever goes wrong."""
    session = prepare(plan, run_dir, record, resume)
    if preflight:
        from trainers.longest_batch import measure

        return measure(session)
    score_base(session)
    with record.phase("training"):
        checkpoint = session.checkpoint
        session.trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    record.update(**training_facts(session))
    if session.stop.stopped:
        record.end(exit_codes.STOPPED)
        return exit_codes.STOPPED
    with record.phase("saving"):
        save_result(session)
    session.stop.release()
    if session.is_main:
        look_at_result(session)
        make_ready(session)
        record.end(exit_codes.DONE)
        draw(run_dir)
    leave(session)
    return exit_codes.DONE


def score_base(session: Session) -> None:
    """The base on the kept-back part, once, while it is in memory and untouched; a resume finds it written."""
    from trainers import evaluate

    known = session.checkpoint is not None or evaluate.base_score(session.run_dir) is not None
    if known or not (session.is_main and session.in_one_piece):
        return
    with session.record.phase("base_evaluation"), session.method.as_base(session.trainer.model):
        found = evaluate.score(session.trainer.model, session.tokenizer, session.data, session.plan)
        evaluate.keep_base_score(session.run_dir, found)


def leave(session: Session) -> None:
    """All ranks leave together: rank 0 was still evaluating."""
    import torch

    session.trainer.accelerator.wait_for_everyone()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainers.run", description="Train by a plan.")
    parser.add_argument("plan", type=Path, help="plan.toml")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of this run")
    parser.add_argument(
        "--resume", default="auto", help="auto (the newest complete checkpoint), never, or a checkpoint folder"
    )
    parser.add_argument(
        "--preflight", action="store_true", help="only the longest batch, measured against the prediction"
    )
    return parser


def _note(record: RunRecord, code: int, failure: dict[str, Any]) -> None:
    """Write a failure down. When another rank failed first, its reason stands, not that this one lost touch."""
    known = read_record(record.path).get("failure") or {}
    if failure["what"] == LOST_TOUCH and known:
        return
    record.writes = record.writes or code != exit_codes.CRASHED
    record.end(code, failure)


if __name__ == "__main__":
    sys.exit(main())
