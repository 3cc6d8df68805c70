"""The training process, from a plan to a result. Reads from top to bottom in `train`.

    python -m trainers.run PLAN.toml --run-dir DIR [--resume auto|never|CHECKPOINT] [--preflight]
    torchrun --nproc-per-node 2 -m trainers.run PLAN.toml --run-dir DIR

What it leaves in DIR: plan.toml, run.json, metrics.jsonl, data/, checkpoints/, result/, samples.json, loss.png, report.html.
How it ends is one of trainers.exit_codes; run.json says why.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import backend, exit_codes
from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.failures import judge, keep_trace, tell
from trainers.plan import PlanError, TrainingPlan, load_plan, save_plan
from trainers.record import RunRecord

if TYPE_CHECKING:
    from trl import SFTTrainer

RESULT = "result"


def main(arguments: list[str] | None = None) -> int:
    """Carry out one plan; gives an exit code of trainers.exit_codes."""
    options = _parser().parse_args(arguments)
    run_dir: Path = options.run_dir
    try:
        plan = load_plan(options.plan)
        _place(plan)
    except (PlanError, PlanRefused, EnvironmentLacking) as error:
        code, failure = judge(error, "starting")
        tell(failure)
        return code
    record = RunRecord(run_dir, writes=_rank() == 0)
    try:
        code = train(plan, run_dir, record, resume=options.resume, preflight=options.preflight)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
        record.end(code)
    except BaseException as error:  # noqa: BLE001  the outermost frame: whatever it is becomes a message and a code
        code, failure = judge(error, record.current_phase)
        if code == exit_codes.CRASHED:
            failure["fix"] = keep_trace(error, run_dir)
        record.end(code, failure)
        tell(failure)
    return code


def train(
    plan: TrainingPlan, run_dir: Path, record: RunRecord, *, resume: str = "auto", preflight: bool = False
) -> int:
    """Everything between a plan and its result, in this process. Raises whatever goes wrong."""
    method = backend(plan.method)
    _require_possible(plan)
    if refusals := method.refusals(plan):
        raise PlanRefused("; ".join(refusals))
    run_dir.mkdir(parents=True, exist_ok=True)
    record.update(**_identity(plan), started=time.strftime("%Y-%m-%dT%H:%M:%S%z"), exit_state="running", failure=None)

    with record.phase("importing"):
        from trainers import quiet
        from trainers.arguments import check_versions, sft_config
        from trainers.guard import StopOnSignal

        quiet.libraries()

        record.update(versions=check_versions(need_bitsandbytes=plan.method == "qlora"))
        stop = StopOnSignal()

    with record.phase("data"):
        from transformers import set_seed

        from trainers import dataset, models, rendering

        set_seed(plan.seed)
        tokenizer = models.load_tokenizer(plan)
        said = rendering.prepare_tokenizer(tokenizer)
        data = dataset.prepare(plan, tokenizer, run_dir, models.end_token_ids(plan))
        record.update(data=dataset.as_record(data, said))
        _say(dataset.verdict(data, said))
        checkpoint = _checkpoint(plan, run_dir, resume)

    with record.phase("loading"):
        # Before the model: under ZeRO-3 the arguments decide how it is loaded.
        args = sft_config(plan, run_dir, has_eval=data.eval is not None, extra=method.arguments(plan))
        model = method.trainable(method.load(plan), plan)
        trainer = _trainer(plan, run_dir, model, tokenizer, data, args, stop)
        record.update(parameters=_parameters(trainer.model), device=str(args.device), world_size=args.world_size)

    if preflight:
        from trainers.preflight import measure

        return measure(plan, run_dir, trainer, record)

    from trainers import evaluate, reload

    limits = evaluate.limits_for(plan)
    in_one_piece = plan.sharding not in ("fsdp", "zero3")
    if in_one_piece and args.process_index == 0 and evaluate.base_score(run_dir) is None and checkpoint is None:
        with record.phase("base_evaluation"), method.as_base(trainer.model):
            evaluate.keep_base_score(run_dir, evaluate.score(trainer.model, tokenizer, data, limits, plan))

    with record.phase("training"):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    record.update(**_training_facts(trainer, plan))
    if stop.stopped:
        record.end(exit_codes.STOPPED)
        return exit_codes.STOPPED

    with record.phase("saving"):
        result = run_dir / RESULT
        _save_result(trainer, method, plan, tokenizer, result)
    stop.release()

    if args.process_index == 0:
        tuned = None
        if in_one_piece:
            with record.phase("reload"):
                row = data.train[0]["input_ids"]
                record.update(reload=reload.reload_test(method, plan, trainer.model, result, row))
            with record.phase("evaluation"):
                tuned = evaluate.score(trainer.model, tokenizer, data, limits, plan)
                base = evaluate.base_score(run_dir)
                evaluate.write_samples(run_dir, data, base, tuned, limits)
                record.update(
                    evaluation={"base": evaluate.summary(base), "tuned": evaluate.summary(tuned)},
                    eval_loss_before=base.loss if base else None,
                    eval_loss_after=tuned.loss,
                )
        record.end(exit_codes.DONE)
        _draw(run_dir)
    _leave(trainer)
    return exit_codes.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainers.run", description="Train by a plan.")
    parser.add_argument("plan", type=Path, help="plan.toml")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of this run")
    parser.add_argument(
        "--resume", default="auto", help="auto (newest complete checkpoint), never, or a checkpoint folder"
    )
    parser.add_argument(
        "--preflight", action="store_true", help="only the longest batch, then compare with the prediction"
    )
    return parser


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _place(plan: TrainingPlan) -> None:
    """Choose the devices this process may see, before torch looks. Raises PlanRefused for a wrong number of processes."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world != plan.num_gpus:
        raise PlanRefused(
            f"the plan is for {plan.num_gpus} processes and {world} were started",
            fix=f"torchrun --nproc-per-node {plan.num_gpus // plan.num_nodes} -m trainers.run ...",
        )
    if plan.accelerator == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["ACCELERATE_USE_CPU"] = "true"
    elif plan.device_uuids and "CUDA_VISIBLE_DEVICES" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(plan.device_uuids)
    elif world == 1 and plan.accelerator in ("cuda", "rocm"):
        # With several cards in sight the Trainer would spread one process over all of them.
        seen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = seen[0]
    if plan.sharding == "fsdp":
        os.environ.setdefault("ACCELERATE_USE_FSDP", "true")
        os.environ.setdefault("FSDP_VERSION", "2")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _require_possible(plan: TrainingPlan) -> None:
    import torch

    if plan.accelerator in ("cuda", "rocm") and not torch.cuda.is_available():
        raise EnvironmentLacking(
            f"the plan is for {plan.accelerator}, and torch {torch.__version__} sees no GPU",
            why="torch was built for CPUs" if torch.version.cuda is None else "driver and torch do not agree",
            fix="install the torch build for this driver from https://pytorch.org/get-started, or plan for the CPU",
        )


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
        hold_to_start(plan, run_dir)
        if _rank() == 0 and not (run_dir / "plan.toml").exists():
            save_plan(plan, run_dir / "plan.toml")
        found = choose_checkpoint(run_dir, resume)
    if found:
        _say(f"going on from step {found.step}" + (f", where the loss was {found.loss:.4f}" if found.loss else ""))
    return found.path if found else None


def _trainer(
    plan: TrainingPlan, run_dir: Path, model: Any, tokenizer: Any, data: Any, args: Any, stop: Any
) -> SFTTrainer:
    from transformers import PrinterCallback
    from trl import SFTTrainer

    from trainers import optimizers
    from trainers.guard import DivergenceGuard
    from trainers.monitor import Monitor

    how: dict[str, Any] = {}
    if plan.optimizer_in_backward:
        how["optimizers"] = (optimizers.step_in_backward(model, plan, args), None)
    elif plan.loraplus_lr_ratio:
        how["optimizer_cls_and_kwargs"] = optimizers.loraplus(model, plan, args)
    trainer = SFTTrainer(
        model=model,
        args=args,
        train_dataset=data.train,
        eval_dataset=data.eval,
        processing_class=tokenizer,
        callbacks=[DivergenceGuard(), Monitor(run_dir, writes=_rank() == 0), stop],
        **how,
    )
    trainer.remove_callback(PrinterCallback)
    if plan.compute_dtype != "bf16" and plan.quantization != "none":
        # TRL turns adapters on a quantised base into bf16, also where nothing else is bf16.
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return trainer


def _parameters(model: Any) -> dict[str, int]:
    return {
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "total": sum(p.numel() for p in model.parameters()),
    }


def _training_facts(trainer: SFTTrainer, plan: TrainingPlan) -> dict[str, Any]:
    """What training itself is judged by."""
    from trainers.monitor import Monitor

    monitor = next(found for found in trainer.callback_handler.callbacks if isinstance(found, Monitor))
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "steps": trainer.state.global_step,
        "total_steps": trainer.state.max_steps,
        "epochs": trainer.state.epoch,
        "losses": {"first": logged[0], "last": logged[-1], "lowest": min(logged)} if logged else {},
        "tokens_per_second": monitor.tokens_per_second,
        "trained_tokens": monitor.tokens,
        "memory": {
            "kind": monitor.meter.kind,
            "predicted_peak_bytes": plan.predicted_peak_bytes,
            "measured_peak_bytes": monitor.meter.peak_bytes(),
            "allocated_peak_bytes": monitor.meter.allocated_peak_bytes(),
        },
    }


def _save_result(trainer: SFTTrainer, method: Any, plan: TrainingPlan, tokenizer: Any, result: Path) -> None:
    """The adapter or model with its tokenizer. Sharded models are gathered by the Trainer, which knows how."""
    if plan.sharding in ("fsdp", "zero2", "zero3"):
        trainer.save_model(str(result))
    elif trainer.args.process_index == 0:
        method.save(trainer.accelerator.unwrap_model(trainer.model), plan, result)
    if trainer.args.process_index == 0:
        tokenizer.save_pretrained(str(result))


def _draw(run_dir: Path) -> None:
    from trainers.plots import loss_png, write_report

    loss_png(run_dir)
    write_report(run_dir)


def _leave(trainer: SFTTrainer) -> None:
    """All ranks leave together: rank 0 was still evaluating."""
    import torch

    trainer.accelerator.wait_for_everyone()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _say(line: str) -> None:
    if _rank() == 0:
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
