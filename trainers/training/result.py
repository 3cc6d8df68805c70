"""What a training leaves behind: its facts, the saved adapter or model, the proof that it loads, and the drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from trainers.errors import RunError
from trainers.language import tr
from trainers.run_folder import layout
from trainers.run_folder.best_step import in_words
from trainers.training.placement import say
from trainers.training.session import Session
from trainers.writing import open_as_usual


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


def deliver_best(session: Session) -> None:
    """From here on the model holds the step that is delivered; run.json says which, and why."""
    from trainers.training.delivery import load_step_to_deliver

    delivered = load_step_to_deliver(session)
    session.record.update(delivered=msgspec.to_builtins(delivered))
    say(in_words(delivered))


def save_result(session: Session) -> None:
    """The adapter or model with its tokenizer, written by one process; all take part in gathering shards."""
    from trainers.methods.processor import copy_processor
    from trainers.training.gather import whole_state, wrappers_off

    trainer, result = session.trainer, session.run_dir / layout.RESULT
    state = whole_state(trainer, session.plan)
    if session.is_main:
        model = trainer.accelerator.unwrap_model(trainer.model)
        with wrappers_off(model):
            session.method.save(model, session.plan, result, state)
        session.tokenizer.save_pretrained(str(result))
        copy_processor(session.plan, result)
        open_as_usual(result)


def look_at_result(session: Session) -> None:
    """Load what was saved, compare, and score the tuned model. Raises RunError when the two are not the same."""
    from trainers.training import evaluate, reload

    record, result = session.record, session.run_dir / layout.RESULT
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
            tr("what was saved in {result} is not what was trained", result=result),
            why=test["why"],
            fix=tr("the checkpoints are whole; please report this with run.json"),
        )
    if not session.in_one_piece:
        return  # in shards: the supervisor has it loaded alone afterwards
    with record.phase("evaluation"):
        shared = (session.data, session.plan)
        tuned = evaluate.score(model, session.tokenizer, *shared, session.limits)
        base = evaluate.base_score(session.run_dir)
        record.update(**evaluate.write_samples(session.run_dir, *shared, base, tuned, session.limits))
    say(evaluate.in_words(base, tuned))


def make_ready(session: Session) -> None:
    """Model card, serve commands and Modelfile beside the result; says what serves it, by the plan's engine."""
    from trainers.handover.deliver import deliver

    delivery = session.plan.delivery
    with session.record.phase("delivery"):
        served = deliver(session.run_dir).served.get(delivery.engine)
    if delivery.artifact == "merged_model":
        say(
            tr(
                "`sft-advisor runs merge {run_dir} --deliver` writes the merged model that the plan delivers",
                run_dir=session.run_dir,
            )
        )
    elif delivery.engine == "transformers":
        say(tr("{run_dir} has the code that loads it", run_dir=session.run_dir / layout.RESULT / layout.MODEL_CARD))
    elif served is not None:
        say(f"{delivery.engine}: {served.command or served.refused}")


def draw(run_dir: Path) -> None:
    """loss.png and report.html."""
    from trainers.handover.plots import loss_png
    from trainers.handover.report import write_report

    loss_png(run_dir)
    write_report(run_dir)
