"""Several adapters over one base, each from its own dataset: a loop over plans, and a look at them side by side.

    python -m trainers.multitask RUN_DIR support=support.toml sql=sql.toml

Each task is a run of its own under RUN_DIR/tasks/NAME, carried out by the supervisor, so that a second start goes on
where the first one ended. RUN_DIR/adapters.json says where each adapter is, and how each does on every task: one
base in memory, the adapters switched, which is also how a server holds them. No torch is imported at the top.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from trainers import backend, exit_codes
from trainers.errors import PlanRefused, RunError
from trainers.failures import explained
from trainers.plan import TrainingPlan, load_plan, write_atomically
from trainers.record import RUN_FILE, read_record

ADAPTERS_FILE = "adapters.json"
ADAPTERS_SCHEMA = "sft-advisor/adapters/v1"


def task_dir(run_dir: Path, name: str) -> Path:
    """The run folder of one task."""
    return run_dir / "tasks" / name


def require_one_base(plans: Mapping[str, TrainingPlan]) -> None:
    """Raise PlanRefused unless all plans train adapters of one kind on the same base."""
    wrong = [name for name, plan in plans.items() if not plan.trains_adapter]
    if wrong:
        raise PlanRefused(
            f"{', '.join(wrong)} would train the whole model",
            why="several tasks share a base only when each trains an adapter beside it",
            fix="use lora or qlora for every task, or separate runs",
        )
    names = [name for name in plans if not name.isidentifier()]
    if names:
        raise PlanRefused(
            f"{', '.join(names)} cannot name an adapter",
            fix="use letters, digits and underscores, such as support_chat",
        )
    kinds = {(plan.model.name, plan.model.revision, plan.method, plan.quantization) for plan in plans.values()}
    if len(kinds) > 1:
        listed = "; ".join(f"{name}: {plan.method} on {plan.model.name}" for name, plan in plans.items())
        raise PlanRefused("the tasks do not share one base and method", why=listed, fix="plan them alike, or apart")


def train_tasks(
    plans: Mapping[str, TrainingPlan],
    run_dir: Path,
    echo: Callable[[bytes], object] | None = None,
    said: Callable[[str], object] = print,
) -> dict[str, int]:
    """Carry out every plan, one after the other; name -> exit code. A task that is done already is not trained again.

    A failed task does not stop the others: each is a run of its own, and starting again goes on with what is left.
    """
    from trainers.launch.local import start

    require_one_base(plans)
    codes: dict[str, int] = {}
    for name, plan in plans.items():
        folder = task_dir(run_dir, name)
        if read_record(folder / RUN_FILE).get("exit_state") == "done":
            said(f"{name}: trained already")
            codes[name] = exit_codes.DONE
            continue
        said(f"{name}: training into {folder}")
        code = start(plan, folder, echo=echo)
        codes[name] = code if isinstance(code, int) else exit_codes.DONE
        if codes[name] in (exit_codes.STOPPED, exit_codes.INTERRUPTED):
            break
    return codes


def compare_tasks(run_dir: Path) -> dict[str, Any]:
    """Load one base and every finished adapter, score each on every task's kept-back part, write adapters.json.

    Raises PlanRefused when no task is finished. Loss in nats per supervised token; None where nothing was kept back.
    """
    from trainers import evaluate
    from trainers.dataset import prepare
    from trainers.models import end_token_ids, load_tokenizer
    from trainers.rendering import prepare_tokenizer

    folders = {
        folder.name: folder
        for folder in sorted((run_dir / "tasks").glob("*"))
        if read_record(folder / RUN_FILE).get("exit_state") == "done"
    }
    if not folders:
        raise PlanRefused(
            f"no finished task in {run_dir}", fix="python -m trainers.multitask RUN_DIR NAME=PLAN.toml ..."
        )
    plans = {name: _alone(load_plan(folder / "plan.toml")) for name, folder in folders.items()}
    model = _all_on_one_base(plans, folders)
    losses: dict[str, dict[str, float | None]] = {}
    for task, plan in plans.items():
        tokenizer = load_tokenizer(plan)
        prepare_tokenizer(tokenizer)
        data = prepare(plan, tokenizer, folders[task], end_token_ids(plan))
        losses[task] = {}
        limits = msgspec.structs.replace(evaluate.limits_for(plan), samples=0)
        for name in plans:
            model.set_adapter(name)
            losses[task][name] = evaluate.score(model, tokenizer, data, plan, limits).loss
        with model.disable_adapter():
            losses[task]["base"] = evaluate.score(model, tokenizer, data, plan, limits).loss
    first = next(iter(plans.values()))
    content = {
        "schema": ADAPTERS_SCHEMA,
        "base": first.model.name,
        "method": first.method,
        "adapters": {name: str((folder / "result").relative_to(run_dir)) for name, folder in folders.items()},
        "losses": losses,
    }
    write_atomically(run_dir / ADAPTERS_FILE, json.dumps(content, indent=1).encode())
    return content


def _alone(plan: TrainingPlan) -> TrainingPlan:
    return msgspec.structs.replace(plan, sharding="none", num_gpus=1, num_nodes=1)


def _all_on_one_base(plans: Mapping[str, TrainingPlan], folders: Mapping[str, Path]) -> Any:
    """One base with every adapter under its task's name."""
    method = backend(next(iter(plans.values())).method)
    model: Any = None
    for name, plan in plans.items():
        if model is None:
            model = method.attach(plan, folders[name] / "result")
            model.load_adapter(str(folders[name] / "result"), name)
            model.set_adapter(name)
            model.delete_adapter("default")
        else:
            model.load_adapter(str(folders[name] / "result"), name)
    return model.eval()


def main(arguments: list[str] | None = None) -> int:
    """Train every task named and compare; gives the first exit code that is not 0."""
    parser = argparse.ArgumentParser(prog="python -m trainers.multitask", description="Several adapters, one base.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("tasks", nargs="*", metavar="NAME=PLAN.toml", help="none: only compare what is there")
    options = parser.parse_args(arguments)
    return explained(lambda: _carry_out(options.run_dir, options.tasks))


def _carry_out(run_dir: Path, tasks: list[str]) -> None:
    pairs = [task.partition("=") for task in tasks]
    if any(not mark for _, mark, _ in pairs):
        raise PlanRefused("a task is given as NAME=PLAN.toml", fix="support=support.toml")

    def echo(piece: bytes) -> None:
        sys.stderr.buffer.write(piece)
        sys.stderr.flush()

    codes = (
        train_tasks({name: load_plan(Path(plan)) for name, _, plan in pairs}, run_dir, echo, _say) if pairs else {}
    )
    failed = {name: code for name, code in codes.items() if code}
    if not failed:
        print(json.dumps(compare_tasks(run_dir), indent=1))
        return
    listed = ", ".join(f"{name} ({exit_codes.STATES.get(code, code)})" for name, code in failed.items())
    error = RunError(f"not finished: {listed}", fix=f"see train.log under {run_dir}/tasks; the same command goes on")
    error.exit_code = next(iter(failed.values()))
    raise error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
