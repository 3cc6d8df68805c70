"""The process around the training process: start it, pass signals on, and act on how it ended.

    code = Supervisor(run_dir).carry_out(plan, resume="auto")

The training process may die in any way; this one holds no torch and little memory, and outlives it. What it decides
goes to events.jsonl as it happens and into `attempts` of run.json at the end.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec

from trainers import exit_codes
from trainers.cgroup import out_of_memory_kills
from trainers.handover.deliver import deliver
from trainers.handover.report import write_report
from trainers.language import tr
from trainers.plan import TrainingPlan, save_plan
from trainers.python import module_command
from trainers.run_folder import layout
from trainers.run_folder.checkpoint import choose_checkpoint, find_resumable, if_the_disk_holds_it, scan
from trainers.run_folder.events import Event, append_event
from trainers.run_folder.fingerprint import hold_to_start
from trainers.run_folder.lock import hold
from trainers.run_folder.record import is_finished, read_record
from trainers.supervision import child
from trainers.supervision.attempts import Attempt, earlier_attempts
from trainers.supervision.backoff import next_step, what_is_left
from trainers.supervision.command import Launch, prepare
from trainers.supervision.preflight import Preflight, goes_on, judge_plan, judged
from trainers.writing import clear_unfinished, write_atomically


class Supervisor:
    """Carries one plan out in one run folder. Only one at a time per folder: a lock sees to it."""

    def __init__(
        self,
        run_dir: Path,
        *,
        rendezvous: str | None = None,
        module: str = "trainers.training.run",
        extra: tuple[str, ...] = (),
        echo: Callable[[bytes], object] | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        self.run_dir = run_dir.resolve()
        self.rendezvous, self.module, self.extra = rendezvous, module, extra
        self.echo, self.on_event = echo, on_event
        self.attempts: list[Attempt] = []
        self.stop_asked = self.interrupted = False

    def carry_out(self, plan: TrainingPlan, *, resume: str = "auto", preflight: bool = False) -> int:
        """Train to the end, or as far as it goes. Return an exit code of trainers.exit_codes.

        With `preflight` the longest batch is tried first, and the plan fitted to what that shows; a run that goes
        on from a checkpoint has proved that already.

        Raises PlanRefused when the plan or dataset differs from the one the folder was started with, when the
        folder is in use, or when `resume` names a checkpoint that cannot be gone on from.
        """
        plan = plan.anchored()
        if plan.num_nodes > 1:
            return self._join(plan, resume)
        with hold(self.run_dir) as lock:
            code = self._held(plan, resume, preflight, lock)
        if self.attempts and (self.run_dir / layout.REPORT).exists():
            with if_the_disk_holds_it():
                write_report(self.run_dir)  # the training process wrote it of a run that was still running
        return code

    def _held(self, plan: TrainingPlan, resume: str, preflight: bool, lock: IO[str]) -> int:
        """`carry_out` in a folder that nobody else uses."""
        hold_to_start(plan, self.run_dir)
        if is_finished(self.run_dir):
            return self.say_finished()
        clear_unfinished(self.run_dir, self.run_dir / layout.RESULT)  # what a kill left
        self.attempts = earlier_attempts(self._run_record(), self.run_dir)
        changed: dict[str, tuple[Any, Any]] = {}
        going: Attempt | None = None
        if preflight and choose_checkpoint(self.run_dir, resume) is None:
            found, plan, going = self._fitted(plan, lock)
            if found.exit_code != exit_codes.DONE:
                return found.exit_code
        while True:
            attempt, going = going or self._attempt(plan, resume, changed, lock), None
            step = None
            if attempt.exit_code == exit_codes.OUT_OF_MEMORY and not self.stop_asked:
                step = next_step(plan, self._failure_phase())
            doubted = self._doubts_checkpoint() and not self.stop_asked
            if step or doubted:
                attempt.said = step.said if step else self._goes_back(attempt)
            else:
                attempt.said = self._last_word(attempt, plan)
            self._write_attempts()
            event = "back_off" if step else "go_back" if doubted else "end"
            self._tell(event, exit_code=attempt.exit_code, said=attempt.said)
            if doubted:
                resume = "auto"
                continue
            if step is None:
                if attempt.exit_code == exit_codes.DONE and not plan.in_one_piece:
                    self._look_at_shards(plan, lock)
                return attempt.exit_code if attempt.exit_code is not None else exit_codes.CRASHED
            self._keep_first(plan)
            plan, changed, resume = step.plan, step.changes, "auto"

    def _look_at_shards(self, plan: TrainingPlan, lock: IO[str]) -> None:
        """Load the result of a sharded run alone on one device, and score it beside its base: no rank held it whole.

        What has no room on one device stays trained and saved; the event says how to look at it elsewhere.
        """
        launch = prepare(plan.on_one_device(), self.run_dir)
        look = msgspec.structs.replace(launch, command=module_command("trainers.training.evaluate", self.run_dir))
        code = self._run(look, self.run_dir / layout.TRAIN_LOG, keep_open=(lock.fileno(),))
        if code == exit_codes.DONE:
            said = tr("the result was loaded alone on one device and compared with its base")
            deliver(self.run_dir)  # the model card anew, now with scores
        else:
            said = tr(
                "the result was saved, but not compared with its base on one device (exit code "
                "{code}): `python -m trainers.training.evaluate {run_dir}` does so where there is "
                "room",
                code=code,
                run_dir=self.run_dir,
            )
        self._tell("evaluated", exit_code=code, said=said)

    def _join(self, plan: TrainingPlan, resume: str) -> int:
        """Start this node's share of a run over several, which meet at `rendezvous`. Return its exit code.

        What ends one node ends all, so nothing is tried again here: that is for the cluster's scheduler, or a person.
        """
        launch = prepare(plan, self.run_dir, resume=resume, rendezvous=self.rendezvous, module=self.module)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        save_plan(plan, self.run_dir / layout.PLAN)
        self._tell("start", node=os.uname().nodename, command=list(launch.command))
        code = self._run(launch, self.run_dir / f"train-{os.uname().nodename}-{os.getpid()}.log")
        self._tell("end", node=os.uname().nodename, exit_code=code)
        return code

    def _fitted(self, plan: TrainingPlan, lock: IO[str]) -> tuple[Preflight, TrainingPlan, Attempt | None]:
        """The plan, made smaller until its longest batch fits; how the last try went, and the attempt it became."""
        while True:
            if goes_on(plan):
                found, going = self._tried_first(plan, lock)
            else:
                found, going = judge_plan(plan, self.run_dir, self.echo), None
            if going is None:
                self._tell("preflight", outcome=found.outcome, exit_code=found.exit_code, said=found.said)
            step = None
            if found.exit_code == exit_codes.OUT_OF_MEMORY and not self.stop_asked:
                step = next_step(plan, self._failure_phase())
            if step is None:
                return found, plan, going
            self._keep_first(plan)
            plan = step.plan

    def _tried_first(self, plan: TrainingPlan, lock: IO[str]) -> tuple[Preflight, Attempt | None]:
        """A training that begins with its longest batch. The attempt is None unless that was got through.

        Raises KeyboardInterrupt after a Ctrl-C before that, for then there is nothing to judge.
        """
        self.interrupted = False

        def begin() -> int:
            attempt = self._attempt(plan, "never", {}, lock, ("--preflight", "first"))
            if self.interrupted and not (self.run_dir / layout.PREFLIGHT).exists():
                self.attempts.pop()
                self._write_attempts()
                raise KeyboardInterrupt
            return exit_codes.CRASHED if attempt.exit_code is None else attempt.exit_code

        before = len(self.attempts)
        found = judged(plan, self.run_dir, begin, goes_on=True)
        going = self.attempts[-1] if len(self.attempts) > before else None
        ended_there = going is not None and going.exit_code == exit_codes.DONE and not is_finished(self.run_dir)
        if going is not None and (found.exit_code != exit_codes.DONE or ended_there):
            self.attempts.pop()
            self._write_attempts()
            going = None
        return found, going

    def _keep_first(self, plan: TrainingPlan) -> None:
        if not (self.run_dir / layout.FIRST_PLAN).exists():
            save_plan(plan, self.run_dir / layout.FIRST_PLAN)

    def _attempt(
        self,
        plan: TrainingPlan,
        resume: str,
        changed: dict[str, tuple[Any, Any]],
        lock: IO[str],
        trial: tuple[str, ...] = (),
    ) -> Attempt:
        checkpoint = choose_checkpoint(self.run_dir, resume)
        attempt = Attempt(
            number=len(self.attempts) + 1,
            resumed_from_step=checkpoint.step if checkpoint else None,
            resumed_loss=checkpoint.loss if checkpoint else None,
            changed=changed,
            began=round(time.time(), 1),
        )
        self.attempts.append(attempt)
        launch = prepare(
            plan,
            self.run_dir,
            resume=str(checkpoint.path) if checkpoint else "never",
            rendezvous=self.rendezvous,
            module=self.module,
            extra=(*self.extra, *trial),
        )
        save_plan(plan, self.run_dir / layout.PLAN)
        self._forget_failure()
        self._write_attempts()
        self._tell(
            "start",
            attempt=attempt.number,
            command=list(launch.command),
            resumed_from_step=attempt.resumed_from_step,
            resumed_loss=attempt.resumed_loss,
        )
        began = time.monotonic()
        attempt.exit_code = self._run(launch, self.run_dir / layout.TRAIN_LOG, keep_open=(lock.fileno(),))
        attempt.seconds = round(time.monotonic() - began, 1)
        return attempt

    def _run(self, launch: Launch, log_file: Path, keep_open: tuple[int, ...] = ()) -> int:
        """One child process from start to end, its output appended to `log_file`. Return its exit code."""
        out_of_ram_before = out_of_memory_kills(Path("/"))
        with log_file.open("ab") as log:
            from_byte = log.tell()
            process = child.spawn(launch, log=log, keep_open=keep_open)
            with child.signals_forwarded(process, on_signal=self._on_signal):
                for piece in child.follow(process, log_file, from_byte):
                    if self.echo is not None:
                        self.echo(piece)
        code = child.exit_code(process)
        if code == 128 + signal.SIGKILL and out_of_memory_kills(Path("/")) > out_of_ram_before:
            self._tell("out_of_ram", said=tr("the kernel ended the training process: host memory ran out"))
            return exit_codes.OUT_OF_MEMORY
        return code

    def _on_signal(self, name: str) -> None:
        self.stop_asked = True
        self.interrupted = self.interrupted or name == "SIGINT"
        self._tell("signal", name=name)

    def _last_word(self, attempt: Attempt, plan: TrainingPlan) -> str:
        """Why this is the end, and what to do next, as one sentence."""
        last_good = next((found for found in scan(self.run_dir) if not found.problems), None)
        go_on = (
            tr(
                "`sft-advisor runs resume {run_dir}` goes on from step {step}",
                run_dir=self.run_dir,
                step=last_good.step,
            )
            if last_good
            else tr("no checkpoint was written yet: start it again")
        )
        reason = self._failure_reason() or tr("see {train_log}", train_log=layout.TRAIN_LOG)
        kept = (
            tr("step {step} is kept as the last good one", step=last_good.step)
            if last_good
            else tr("no good checkpoint exists")
        )
        known = {
            exit_codes.DONE: "finished",
            exit_codes.STOPPED: tr("stopped as asked; {go_on}", go_on=go_on),
            exit_codes.INTERRUPTED: tr("stopped as asked; {go_on}", go_on=go_on),
            exit_codes.OUT_OF_MEMORY: tr(
                "out of memory, and nothing is left to lower: {what_is_left}", what_is_left=what_is_left(plan)
            ),
            exit_codes.DIVERGED: tr(
                "{reason}; {kept}; plan again with a lower rate, such as learning_rate = {learning_rate:.1e}",
                reason=reason,
                kept=kept,
                learning_rate=plan.learning_rate / 3,
            ),
            exit_codes.DISK_FULL: tr(
                "the disk is full ({reason}); free some space, then {go_on}", reason=reason, go_on=go_on
            ),
            exit_codes.BAD_PLAN: reason,
            exit_codes.ENVIRONMENT: reason,
        }
        otherwise = tr(
            "the training process ended with {exit_code} (see {train_log}); {go_on}",
            exit_code=attempt.exit_code,
            train_log=layout.TRAIN_LOG,
            go_on=go_on,
        )
        return known.get(attempt.exit_code or 0, otherwise)

    def _goes_back(self, attempt: Attempt) -> str:
        """What is done about a checkpoint that proved wrong; the training process has put it away."""
        older = find_resumable(self.run_dir)
        start = (
            tr("goes on from step {step}", step=older.step)
            if older
            else tr("starts over, for there is no older checkpoint")
        )
        return tr(
            "checkpoint-{resumed_from_step} is not what it was ({failure_reason}): the run {start}",
            resumed_from_step=attempt.resumed_from_step,
            failure_reason=self._failure_reason(),
            start=start,
        )

    def _doubts_checkpoint(self) -> bool:
        return bool((self._run_record().get("failure") or {}).get("doubts_checkpoint"))

    def say_finished(self) -> int:
        """Tell those who watch that there is nothing left to do. Return the exit code of a finished run."""
        self.say(
            tr(
                "{run_dir} has finished already: its result is in {result}",
                run_dir=self.run_dir,
                result=self.run_dir / layout.RESULT,
            )
        )
        return exit_codes.DONE

    def say(self, words: str) -> None:
        """Tell those who watch, and leave the folder as it is."""
        if self.on_event is not None:
            self.on_event({"event": "said", "said": words})

    def _failure_phase(self) -> str | None:
        return (self._run_record().get("failure") or {}).get("phase")

    def _failure_reason(self) -> str | None:
        return (self._run_record().get("failure") or {}).get("what")

    def _run_record(self) -> dict[str, Any]:
        return read_record(self.run_dir / layout.RUN)

    def _forget_failure(self) -> None:
        """A child that dies without a message must not be judged by what the one before it wrote."""
        if record := self._run_record():
            kept = {key: value for key, value in record.items() if key not in ("failure", "exit_code", "exit_state")}
            write_atomically(self.run_dir / layout.RUN, json.dumps(kept, indent=2).encode())

    def _write_attempts(self) -> None:
        """Add the attempts to run.json, which the training process writes and which may not be there."""
        record = self._run_record()
        record["attempts"] = msgspec.to_builtins(self.attempts)
        with if_the_disk_holds_it():
            write_atomically(self.run_dir / layout.RUN, json.dumps(record, indent=2).encode())

    def _tell(self, event: str, **details: object) -> None:
        entry = append_event(self.run_dir, event, **details)
        if self.on_event is not None:
            self.on_event(entry)


def start(
    plan: TrainingPlan,
    run_dir: Path,
    *,
    resume: str = "auto",
    preflight: bool = False,
    options: tuple[str, ...] = (),
    rendezvous: str | None = None,
    echo: Callable[[bytes], object] | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> int:
    """Carry the plan out to its end. Return an exit code of trainers.exit_codes.

    With `preflight` a fresh run tries its longest batch first. `options` are further ones of trainers.training.run,
    such as `--until 12`. `echo` gets what the training process prints as it
    comes; `on_event` each decision of the supervisor. Both are optional: train.log and events.jsonl in `run_dir` keep
    everything. Raises PlanRefused before anything starts.
    """
    supervisor = Supervisor(run_dir, rendezvous=rendezvous, extra=options, echo=echo, on_event=on_event)
    return supervisor.carry_out(plan, resume=resume, preflight=preflight)
