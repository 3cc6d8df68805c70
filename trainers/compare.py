"""Every adapter of a folder of tasks on every task: `python -m trainers.compare RUN_DIR`, where multitask put them.

RUN_DIR/adapters.json says where each adapter is, how each does on what every task kept back, and how to serve them
together: one base in memory, the adapters switched, which is also how a server holds them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from trainers import backend
from trainers.errors import PlanRefused
from trainers.failures import explained
from trainers.launch.local import PLAN_FILE
from trainers.multitask import BASE, task_dir, trained_tasks
from trainers.plan import TrainingPlan, load_plan, write_atomically
from trainers.serving import Served, vllm_rank, vllm_refusals

ADAPTERS_FILE = "adapters.json"
ADAPTERS_SCHEMA = "sft-advisor/adapters/v1"


def compare_tasks(run_dir: Path, said: Callable[[str], object] = print) -> dict[str, Any]:
    """Load one base and every finished adapter, score each on every task's kept-back part, write adapters.json.

    Raises PlanRefused when no task is finished. Loss in nats per supervised token; None where nothing was kept back.
    """
    from trainers import quiet

    quiet.libraries()
    names = trained_tasks(run_dir)
    if not names:
        raise PlanRefused(
            f"no finished task in {run_dir}", fix=f"sft-advisor multitask {run_dir} NAME=PLAN.toml ... trains some"
        )
    folders = {name: task_dir(run_dir, name) for name in names}
    plans = {name: _alone(load_plan(folder / PLAN_FILE)) for name, folder in folders.items()}
    said(f"comparing {len(names)} adapters on one base")
    model = _all_on_one_base(plans, folders)
    losses = {}
    for name, plan in plans.items():
        said(f"the kept-back part of {name}")
        losses[name] = _losses_on(model, plan, folders[name], names)
    first = plans[names[0]]
    content = {
        "schema": ADAPTERS_SCHEMA,
        "base": first.model.name,
        "method": first.method,
        "adapters": {name: str((folder / "result").relative_to(run_dir)) for name, folder in folders.items()},
        "losses": losses,
        "serve": {"vllm": msgspec.to_builtins(serve_together(plans, folders))},
    }
    write_atomically(run_dir / ADAPTERS_FILE, json.dumps(content, indent=1).encode())
    return content


def serve_together(plans: Mapping[str, TrainingPlan], folders: Mapping[str, Path]) -> Served:
    """How vLLM holds all adapters over one base, or why it cannot. `folders` are the tasks' run folders."""
    refusals = [f"{name}: {refusal}" for name, plan in plans.items() for refusal in vllm_refusals(plan)]
    ranks = [_rank(folders[name] / "result") for name in plans]
    largest = vllm_rank(max(ranks))
    if refusals or largest is None:
        why = "; ".join(refusals) or f"an adapter has rank {max(ranks)}"
        return Served(command=None, refused=f"vLLM cannot hold them together ({why}); serve them apart")
    base = shlex.quote(next(iter(plans.values())).model.name)
    lines = [f"vllm serve {base} --enable-lora --max-lora-rank {largest} --max-loras {len(plans)}"]
    template = folders[next(iter(plans))] / "result" / "chat_template.jinja"
    lines += [f"--chat-template {shlex.quote(str(template))}"] if template.is_file() else []
    lines += ["--lora-modules", *(shlex.quote(f"{name}={folders[name] / 'result'}") for name in plans)]
    note = "each request names its adapter as the model; the base answers under its own name"
    return Served(command=" \\\n  ".join(lines), notes=(note,))


def _rank(result: Path) -> int:
    """The rank in the adapter's files: PiSSA saves twice the rank of the plan."""
    rank = json.loads((result / "adapter_config.json").read_bytes()).get("r")
    return rank if isinstance(rank, int) else 1


def _losses_on(model: Any, plan: TrainingPlan, folder: Path, names: list[str]) -> dict[str, float | None]:
    """The loss of the base and of every adapter on what this task kept back."""
    from trainers import evaluate
    from trainers.dataset import prepare
    from trainers.models import end_token_ids, load_tokenizer
    from trainers.rendering import prepare_tokenizer

    tokenizer = load_tokenizer(plan)
    prepare_tokenizer(tokenizer)
    data = prepare(plan, tokenizer, folder, end_token_ids(plan))
    limits = msgspec.structs.replace(evaluate.limits_for(plan), samples=0)
    with model.disable_adapter():
        losses = {BASE: evaluate.score(model, tokenizer, data, plan, limits).loss}
    for name in names:
        model.set_adapter(name)
        losses[name] = evaluate.score(model, tokenizer, data, plan, limits).loss
    return losses


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
    """Compare the finished tasks of a folder and print adapters.json; gives an exit code of trainers.exit_codes."""
    parser = argparse.ArgumentParser(prog="python -m trainers.compare", description="Adapters over one base.")
    parser.add_argument("run_dir", type=Path, help="folder of all tasks together")
    options = parser.parse_args(arguments)
    return explained(lambda: print(json.dumps(compare_tasks(options.run_dir, _say), indent=1)))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
