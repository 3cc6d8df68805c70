"""The training process, from a plan to a result. Reads from top to bottom: `main`, `train`, then each step.

    python -m trainers.run PLAN.toml --run-dir DIR [--resume auto|never|CHECKPOINT] [--preflight]
    torchrun --nproc-per-node 2 -m trainers.run PLAN.toml --run-dir DIR

What it leaves in DIR: plan.toml, run.json, metrics.jsonl, data/, checkpoints/, result/, samples.json, loss.png,
report.html. How it ends is one of trainers.exit_codes; run.json says why.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import backend, exit_codes
from trainers.errors import EnvironmentLacking, PlanRefused, RunError
from trainers.failures import LOST_TOUCH, judge, keep_trace, tell
from trainers.placement import choose_devices, rank, require_devices
from trainers.plan import PlanError, TrainingPlan, load_plan, save_plan
from trainers.record import RunRecord, read_record

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import SFTTrainer

    from trainers.base import Backend
    from trainers.dataset import PreparedData
    from trainers.guard import StopOnSignal
    from trainers.monitor import Monitor

RESULT = "result"
EVAL_ROWS = 1000
"""Rows that each evaluation during training looks at; more would cost hours and say the same."""


@dataclass
class Session:
    """Everything that stands ready before the first step."""

    plan: TrainingPlan
    run_dir: Path
    record: RunRecord
    method: Backend
    tokenizer: PreTrainedTokenizerBase
    data: PreparedData
    trainer: SFTTrainer
    monitor: Monitor
    stop: StopOnSignal
    checkpoint: Path | None

    @property
    def is_main(self) -> bool:
        """True on the one process that writes."""
        return bool(self.trainer.args.process_index == 0)

    @property
    def in_one_piece(self) -> bool:
        """True when each process holds the whole model, so that one alone can look at it."""
        return self.plan.sharding not in ("fsdp", "zero3")


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
        record.end(exit_codes.DONE)
        draw(run_dir)
    leave(session)
    return exit_codes.DONE


def prepare(plan: TrainingPlan, run_dir: Path, record: RunRecord, resume: str = "auto") -> Session:
    """Check, tokenise, find the checkpoint to go on from, load the model, build the trainer: nothing trained yet."""
    method = backend(plan.method)
    require_devices(plan)
    if refusals := method.refusals(plan):
        raise PlanRefused("; ".join(refusals), fix="change these fields of the plan")
    run_dir.mkdir(parents=True, exist_ok=True)
    record.update(**_identity(plan), started=time.strftime("%Y-%m-%dT%H:%M:%S%z"), exit_state="running", failure=None)

    with record.phase("importing"):
        from trainers import arguments, quiet

        record.update(versions=arguments.check_versions(need_bitsandbytes=plan.method == "qlora"))
        quiet.libraries()
        from transformers import set_seed

        from trainers import cpu_head, dataset, models, rendering
        from trainers.guard import StopOnSignal

        stop = StopOnSignal()
        set_seed(plan.seed)

    with record.phase("data"):
        tokenizer = models.load_tokenizer(plan)
        said = rendering.prepare_tokenizer(tokenizer)
        data = dataset.prepare(plan, tokenizer, run_dir, models.end_token_ids(plan), _say)
        record.update(data=dataset.as_record(data, said))
        _say(dataset.verdict(data, said))
        checkpoint = _checkpoint(plan, run_dir, resume)

    with record.phase("loading"):
        # Before the model: under ZeRO-3 the arguments decide how it is loaded.
        args = arguments.sft_config(plan, run_dir, has_eval=data.eval is not None, extra=method.arguments(plan))
        if plan.accelerator == "cpu":
            cpu_head.score_answers_only()
        model = method.trainable(method.load(plan), plan)
        trainer, monitor = _trainer(plan, run_dir, model, tokenizer, data, args, stop)
        record.update(parameters=_parameters(trainer.model), device=str(args.device), world_size=args.world_size)
    return Session(plan, run_dir, record, method, tokenizer, data, trainer, monitor, stop, checkpoint)


def score_base(session: Session) -> None:
    """The base on the kept-back part, once, while it is in memory and untouched; a resume finds it written."""
    from trainers import evaluate

    known = session.checkpoint is not None or evaluate.base_score(session.run_dir) is not None
    if known or not (session.is_main and session.in_one_piece):
        return
    with session.record.phase("base_evaluation"), session.method.as_base(session.trainer.model):
        found = evaluate.score(session.trainer.model, session.tokenizer, session.data, session.plan)
        evaluate.keep_base_score(session.run_dir, found)


def training_facts(session: Session) -> dict[str, Any]:
    """What training itself is judged by, for run.json."""
    state, monitor = session.trainer.state, session.monitor
    logged = [entry["loss"] for entry in state.log_history if "loss" in entry]
    return {
        "steps": state.global_step,
        "total_steps": state.max_steps,
        "epochs": state.epoch,
        "losses": {"first": logged[0], "last": logged[-1], "lowest": min(logged)} if logged else {},
        "evaluation_losses": {e["step"]: e["eval_loss"] for e in state.log_history if "eval_loss" in e},
        "tokens_per_second": monitor.tokens_per_second,
        "trained_tokens": monitor.tokens,
        "memory": {
            "kind": monitor.meter.kind,
            "predicted_peak_bytes": session.plan.predicted_peak_bytes,
            "measured_peak_bytes": monitor.meter.peak_bytes(),
            "allocated_peak_bytes": monitor.meter.allocated_peak_bytes(),
        },
    }


def save_result(session: Session) -> None:
    """The adapter or model with its tokenizer, written by one process; all take part in gathering shards."""
    from trainers.gather import whole_state, without_wrappers

    trainer, result = session.trainer, session.run_dir / RESULT
    state = whole_state(trainer, session.plan)
    if session.is_main:
        model = without_wrappers(trainer.accelerator.unwrap_model(trainer.model))
        session.method.save(model, session.plan, result, state)
        session.tokenizer.save_pretrained(str(result))


def look_at_result(session: Session) -> None:
    """Load what was saved, compare, and score the tuned model. Raises RunError when the two are not the same."""
    from trainers import evaluate, reload

    record, result = session.record, session.run_dir / RESULT
    with record.phase("reload"):
        model = session.trainer.accelerator.unwrap_model(session.trainer.model)
        test = reload.nothing_missing(result, record.read("parameters"))
        if session.in_one_piece and test["passed"]:
            test |= reload.answers_alike(
                session.method, session.plan, model, result, session.data.train[0]["input_ids"]
            )
        record.update(reload=test)
    if test["passed"] is False:
        raise RunError(
            f"what was saved in {result} is not what was trained",
            why=test["why"],
            fix="the checkpoints are whole; please report this with run.json",
        )
    if not session.in_one_piece:
        _say(f"the model is in shards: `python -m trainers.evaluate {session.run_dir}` compares it with its base")
        return
    with record.phase("evaluation"):
        tuned = evaluate.score(model, session.tokenizer, session.data, session.plan)
        base = evaluate.base_score(session.run_dir)
        record.update(**evaluate.write_samples(session.run_dir, session.data, session.plan, base, tuned))
    _say(evaluate.in_words(base, tuned))


def draw(run_dir: Path) -> None:
    """loss.png and report.html."""
    from trainers.plots import loss_png, write_report

    loss_png(run_dir)
    write_report(run_dir)


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


def _identity(plan: TrainingPlan) -> dict[str, Any]:
    return {
        "method": plan.method,
        "model": plan.model.name,
        "dataset": plan.dataset.source if plan.dataset else None,
        "seed": plan.seed,
        "global_batch_size": plan.global_batch_size,
        "memory": {"predicted_peak_bytes": plan.predicted_peak_bytes, "measured_peak_bytes": None},
    }


def _checkpoint(plan: TrainingPlan, run_dir: Path, resume: str) -> Path | None:
    """The checkpoint to go on from. One rank after the other looks, for looking moves damaged ones away."""
    from filelock import FileLock

    from trainers.checkpoint import choose_checkpoint
    from trainers.fingerprint import hold_to_start

    with FileLock(run_dir / "data" / ".lock"):
        if rank() == 0:
            # reads the whole dataset once more, so not on every rank
            hold_to_start(plan, run_dir)
            if not (run_dir / "plan.toml").exists():
                save_plan(plan, run_dir / "plan.toml")
        found = choose_checkpoint(run_dir, resume)
    if found is None:
        return None
    _say(f"going on from step {found.step}" + (f", where the loss was {found.loss:.4f}" if found.loss else ""))
    return found.path


def _trainer(
    plan: TrainingPlan, run_dir: Path, model: Any, tokenizer: Any, data: PreparedData, args: Any, stop: StopOnSignal
) -> tuple[SFTTrainer, Monitor]:
    from transformers import PrinterCallback
    from trl import SFTTrainer

    from trainers.guard import DivergenceGuard
    from trainers.monitor import Monitor
    from trainers.optimizers import trainer_options
    from trainers.saving import CheckpointKeeper

    monitor = Monitor(run_dir, writes=rank() == 0)
    trainer = SFTTrainer(
        model=model,
        args=args,
        train_dataset=data.train,
        eval_dataset=data.eval_rows(EVAL_ROWS),
        processing_class=tokenizer,
        callbacks=[monitor, DivergenceGuard(), stop, CheckpointKeeper(run_dir, keep=plan.save_total_limit)],
        **trainer_options(model, plan, args),
    )
    trainer.remove_callback(PrinterCallback)
    if plan.compute_dtype != "bf16" and plan.quantization != "none":
        # TRL turns adapters on a quantised base into bf16, also where nothing else is bf16.
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return trainer, monitor


def _parameters(model: Any) -> dict[str, int]:
    """How many numbers train, and how many there are in all, however they are stored."""
    return {
        "trainable": sum(_count(p) for p in model.parameters() if p.requires_grad),
        "total": sum(_count(p) for p in model.parameters()),
    }


def _count(parameter: Any) -> int:
    """ZeRO-3 leaves an empty tensor where a parameter was; 4-bit weights lie two in a byte."""
    packed = getattr(parameter, "quant_state", None)
    return math.prod(packed.shape) if packed is not None else getattr(parameter, "ds_numel", parameter.numel())


def _say(line: str) -> None:
    if rank() == 0 and line:
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
