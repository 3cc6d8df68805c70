"""Runs killed at random: `python -m tests.soak.kills [HOW MANY] [FIRST SEED]`, sixty without a number.

Each run is killed with SIGKILL once or several times, by turns in every part of it: while libraries, data and model
are loaded, in the longest batch, the base's evaluation, the steps, an evaluation between them, a checkpoint that is
being written or removed, the result, its proof, the delivery, and a merge. Then it is resumed to its end, and has to
be as a run that nothing disturbed: every step once, the same losses, evaluations and scores, the same weights to the
last bit, every checkpoint whole, nothing left over. Half an hour on two idle cores.
"""

from __future__ import annotations

import collections
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.soak.places import STEPS, write_case
from tests.trainers import warm
from tests.waiting import PATIENCE_SECONDS
from trainers import exit_codes
from trainers.plan import TrainingPlan, load_plan, plan_from_dict, plan_to_dict
from trainers.run_folder import layout
from trainers.run_folder.checkpoint import SEAL, checkpoints_dir, scan
from trainers.run_folder.metrics import read_metrics
from trainers.run_folder.record import is_finished, read_record
from trainers.supervision import child
from trainers.supervision.command import Launch
from trainers.supervision.resume import resume_run
from trainers.supervision.supervise import Supervisor

KILLS, AT_MOST = 60, 3
"""Runs, and the kills that one of them takes."""
POLL_SECONDS = 0.0005
PHASES = (
    "importing",
    "data",
    "loading",
    "preflight",
    "base_evaluation",
    "saving",
    "reload",
    "evaluation",
    "delivery",
)
PLACES = (*PHASES, "step", "step", "checkpoint", "removal", "evaluation_between", "merge")
SCORES = (
    "eval_loss_before",
    "eval_loss_after",
    "delivered",
    "evaluation_losses",
    "losses",
    "steps",
    "trained_tokens",
)


def plans(folder: Path) -> dict[str, TrainingPlan]:
    """A tiny model trained by LoRA with dropout and as a whole; a checkpoint at each step, three kept."""
    raw = plan_to_dict(load_plan(write_case(folder))) | {
        "max_steps": STEPS // 4, "save_steps": 1, "eval_steps": 3, "save_total_limit": 3,
        "load_best_model_at_end": True, "learning_rate": 5e-3, "gradient_accumulation_steps": 2,
    }  # fmt: skip
    bare = {name: value for name, value in raw.items() if not name.startswith("lora")}
    return {
        "lora": plan_from_dict(raw | {"lora_dropout": 0.1}),
        "full": plan_from_dict(bare | {"method": "full", "learning_rate": 1e-3}),
    }


def supervise(run_dir: Path, plan: TrainingPlan | None, pid_file: Path) -> None:
    """The process around the training process, as `sft-advisor train` has it; without a plan, as `runs resume`."""
    os.setsid()
    # a server of forks that was forked itself would load all libraries anew
    vars(warm)["SERVER"] = multiprocessing.get_context("fork")

    def spawn(launch: Launch, **options: Any) -> Any:
        process = warm.spawn(launch, **options)
        pid_file.write_text(str(process.pid), encoding="utf-8")
        return process

    child.spawn = spawn
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        sys.stdout = sys.stderr = nowhere
        code = Supervisor(run_dir).carry_out(plan, preflight=True) if plan else resume_run(run_dir)
    os._exit(code)


def merge(run_dir: Path) -> None:
    """`sft-advisor runs merge`."""
    from trainers.merging.merge import merge_run

    os.setsid()
    merge_run(run_dir, check=False)


def in_process(function: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Start a function in a forked process that has its libraries loaded."""
    process = warm.SERVER.Process(target=function, args=arguments)
    process.start()
    return process


def reached(place: str, run_dir: Path, step: int) -> bool:
    """Whether the run is there now."""
    folder = checkpoints_dir(run_dir)
    if place == "step":
        return any(line.get("step", 0) >= step for line in read_metrics(run_dir))
    if place == "evaluation_between":
        return (folder / f"checkpoint-{step // 3 * 3 or 3}").exists()
    if place == "checkpoint":
        path = folder / f"checkpoint-{step}"
        return path.exists() and not (path / SEAL).exists()
    if place == "removal":
        return any(folder.glob(".deleting-*"))
    if place == "merge":
        return any(run_dir.glob(f".{layout.MERGED}.*"))
    return read_record(run_dir / layout.RUN).get("phase") == place


def kill_at(place: str, process: ForkServerProcess, run_dir: Path, pid_file: Path | None, draw: random.Random) -> str:
    """Wait for the place, then for a random moment within it, and kill. Return where it was, "" for ended before."""
    step, deadline = draw.randint(1, STEPS // 4 - 1), time.monotonic() + PATIENCE_SECONDS
    while not reached(place, run_dir, step):
        if process.exitcode is not None or time.monotonic() > deadline:
            return ""
        time.sleep(POLL_SECONDS)
    time.sleep(draw.choice((0.0, draw.uniform(0, 0.02), draw.uniform(0, 0.3))))
    if process.exitcode is not None:
        return ""
    was = read_record(run_dir / layout.RUN).get("phase") or place
    trainer = int(pid_file.read_text(encoding="utf-8")) if pid_file and pid_file.exists() else None
    alone = trainer is not None and draw.random() < 0.3
    if not alone:
        process.kill()
        process.join()
    if trainer is not None:
        end(trainer)
    process.join(PATIENCE_SECONDS)
    return f"{was}, {'the trainer' if alone else 'both'}"


def end(pid: int) -> None:
    """kill -9, and wait until it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z":
            time.sleep(POLL_SECONDS)
    except (ProcessLookupError, FileNotFoundError):
        pass


def left(run_dir: Path) -> dict[str, Any]:
    """What a run is judged by: its curve, its scores, its weights, and what else lies there."""
    record = read_record(run_dir / layout.RUN)
    curve: dict[str, set[float]] = collections.defaultdict(set)
    for line in read_metrics(run_dir):
        for name in ("loss", "eval_loss", "grad_norm", "learning_rate"):
            if name in line:
                curve[f"{line['step']:03} {name}"].add(line[name])
    weights = sorted([*run_dir.glob("result/*.safetensors"), *run_dir.glob("merged/*.safetensors")])
    return {
        "finished": is_finished(run_dir),
        "curve": dict(curve),
        **{name: record.get(name) for name in SCORES},
        **{str(file.relative_to(run_dir)): file.read_bytes() for file in weights},
        "files": sorted(
            file.name for file in run_dir.rglob("*") if "partial" in file.name or ".deleting" in file.name
        ),
        "checkpoints": [(found.step, found.problems) for found in scan(run_dir)],
        "result": sorted(file.name for file in (run_dir / layout.RESULT).iterdir()),
    }


def killed(place: str, plan: TrainingPlan, run_dir: Path, draw: random.Random) -> list[str]:
    """Kill a run, go on with it to its end, and merge. Return where it was killed."""
    pid_file = run_dir.with_suffix(".pid")
    where, started = [], False
    if place != "merge":
        for _ in range(draw.choice((1, 1, 1, AT_MOST))):
            pid_file.unlink(missing_ok=True)
            has_plan = (run_dir / layout.PLAN).exists()
            process = in_process(supervise, run_dir, None if started and has_plan else plan, pid_file)
            started = True
            where.append(kill_at(place, process, run_dir, pid_file, draw))
            place = draw.choice(PLACES[:-1])
    has_plan = (run_dir / layout.PLAN).exists()
    process = in_process(supervise, run_dir, None if has_plan else plan, pid_file)
    process.join()
    if process.exitcode != exit_codes.DONE:
        raise AssertionError(f"the last resume ended with {process.exitcode}: {run_dir}")
    if plan.method != "full":
        if place == "merge":
            where.append(kill_at("merge", in_process(merge, run_dir), run_dir, None, draw))
        process = in_process(merge, run_dir)
        process.join()
    return [one for one in where if one]


def compared(run_dir: Path, reference: dict[str, Any]) -> Iterator[str]:
    """What differs from the undisturbed run."""
    now = left(run_dir)
    for name in sorted(now.keys() | reference.keys()):
        if now.get(name) != reference.get(name):
            shown = (str(value.get(name))[:400] for value in (reference, now))
            yield f"{name}: {' -> '.join(shown)}"


def main(arguments: list[str]) -> int:
    """Kill so many runs. Return 1 when one of them is not as it would have been."""
    count, first = (int(word) for word in [*arguments, *(str(KILLS), "0")[len(arguments) :]])
    folder = Path(tempfile.mkdtemp(prefix="killed-"))
    matrix, references, differing, kills = plans(folder), {}, 0, collections.Counter[str]()
    for name, plan in matrix.items():
        process = in_process(supervise, folder / name, plan, folder / f"{name}.pid")
        process.join()
        if name != "full":
            in_process(merge, folder / name).join()
        references[name] = left(folder / name)
        print(
            f"{name}: undisturbed, {json.dumps(read_record(folder / name / layout.RUN).get('seconds'))}", flush=True
        )
    for seed in range(first, first + count):
        draw = random.Random(seed)
        place = PLACES[seed % len(PLACES)]
        name = "lora" if place == "merge" else draw.choice(tuple(matrix))
        run_dir = folder / f"run-{seed}"
        began = time.monotonic()
        where = killed(place, matrix[name], run_dir, draw)
        kills.update(where)
        problems = list(compared(run_dir, references[name]))
        differing += bool(problems)
        print(f"{seed} {name} {place}: killed in {where or 'nothing'}, {time.monotonic() - began:.0f} s", flush=True)
        for problem in problems:
            print(f"    {problem}", flush=True)
    print(f"{kills.total()} kills of {count} runs, {differing} runs not as undisturbed: {dict(kills)}; {folder}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
