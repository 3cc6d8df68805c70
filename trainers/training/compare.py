"""Every adapter of a folder of tasks on every task, where multitask put them.

    python -m trainers.training.compare RUN_DIR

RUN_DIR/adapters.json says where each adapter is, how each does on what every task kept back, and how to serve them
together: one base in memory, the adapters switched, which is also how a server holds them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from trainers.errors import PlanRefused
from trainers.foreign.text import shell
from trainers.handover.serving import Served, saved_rank, vllm_rank, vllm_refusals
from trainers.language import tr
from trainers.methods import backend
from trainers.plan import TrainingPlan, load_plan
from trainers.run_folder import layout
from trainers.run_folder.failures import explained
from trainers.supervision.multitask import BASE, Adapters, task_dir, trained_tasks
from trainers.writing import write_atomically


def compare_tasks(run_dir: Path, said: Callable[[str], object] = print) -> dict[str, Any]:
    """Score the base and every finished adapter on every task's kept-back part, and write adapters.json.

    Raises PlanRefused when no task is finished. Loss in nats per supervised token; None where nothing was kept back.
    """
    from trainers.training import quiet

    quiet.libraries()
    names = trained_tasks(run_dir)
    if not names:
        raise PlanRefused(
            tr("no finished task in {run_dir}", run_dir=run_dir),
            fix=tr("sft-advisor train multitask {run_dir} NAME=PLAN.toml ... trains some", run_dir=run_dir),
        )
    folders = {name: task_dir(run_dir, name) for name in names}
    plans = {name: load_plan(folder / layout.PLAN).on_one_device() for name, folder in folders.items()}
    kept = {name: _KeptBack(plan, folders[name]) for name, plan in plans.items()}
    losses: dict[str, dict[str, float | None]] = {name: {} for name in names}
    for name, model in _each_adapter(plans, folders):
        if BASE not in losses[name]:
            said("comparing: the base")
            with model.disable_adapter():
                for task in names:
                    losses[task][BASE] = kept[task].loss(model)
        said(f"comparing: {name}")
        for task in names:
            losses[task][name] = kept[task].loss(model)
    first = plans[names[0]]
    compared = Adapters(
        base=first.model.name,
        method=first.method,
        adapters={name: str((folder / layout.RESULT).relative_to(run_dir)) for name, folder in folders.items()},
        losses=losses,
        serve={"vllm": serve_together(plans, folders)},
    )
    content: dict[str, Any] = msgspec.to_builtins(compared)
    write_atomically(run_dir / layout.ADAPTERS, json.dumps(content, indent=1).encode())
    return content


def serve_together(plans: Mapping[str, TrainingPlan], folders: Mapping[str, Path]) -> Served:
    """How vLLM holds all adapters over one base, or why it cannot. `folders` are the tasks' run folders."""
    results = {name: folders[name] / layout.RESULT for name in plans}
    refusals = [f"{name}: {why}" for name, plan in plans.items() for why in vllm_refusals(plan, results[name])]
    if refusals:
        why = "; ".join(refusals)
        return Served(command=None, refused=f"vLLM cannot hold them together ({why}); serve them apart")
    largest = vllm_rank(max(saved_rank(plan, results[name]) or 1 for name, plan in plans.items()))
    base = shell(next(iter(plans.values())).model.name)
    lines = [f"vllm serve {base} --enable-lora --max-lora-rank {largest} --max-loras {len(plans)}"]
    template = next(iter(results.values())) / "chat_template.jinja"
    lines += [f"--chat-template {shell(str(template))}"] if template.is_file() else []
    lines += ["--lora-modules", *(shell(f"{name}={result}") for name, result in results.items())]
    note = "each request names its adapter as the model; the base answers under its own name"
    return Served(command=" \\\n  ".join(lines), notes=(note,))


class _KeptBack:
    """What one task kept back, tokenised, to score models on."""

    def __init__(self, plan: TrainingPlan, folder: Path) -> None:
        from trainers.methods.models import end_token_ids, load_tokenizer
        from trainers.training import evaluate
        from trainers.training.dataset import prepare
        from trainers.training.rendering import prepare_tokenizer

        self.plan = plan
        self.tokenizer = load_tokenizer(plan)
        prepare_tokenizer(self.tokenizer)
        self.data = prepare(plan, self.tokenizer, folder, end_token_ids(plan))
        self.limits = msgspec.structs.replace(evaluate.limits_for(plan), samples=0)

    def loss(self, model: Any) -> float | None:
        """Nats per supervised token; None when nothing was kept back."""
        from trainers.training import evaluate

        return evaluate.score(model, self.tokenizer, self.data, self.plan, self.limits).loss


def _each_adapter(plans: Mapping[str, TrainingPlan], folders: Mapping[str, Path]) -> Iterator[tuple[str, Any]]:
    """Each name with a model that answers with its adapter, valid until the next one.

    One base holds them all, unless embeddings train too: peft ties head and embedding for the first adapter on a base
    alone, and the others would answer with the head of the base.
    """
    apart = any(plan.modules_to_save or plan.trainable_token_indices for plan in plans.values())
    model: Any = None if apart else _all_on_one_base(plans, folders)
    for name, plan in plans.items():
        if apart:
            model = None  # the one before, before the next is loaded
            model = backend(plan.method).attach(plan, folders[name] / layout.RESULT)
        else:
            model.set_adapter(name)
        yield name, model.eval()


def _all_on_one_base(plans: Mapping[str, TrainingPlan], folders: Mapping[str, Path]) -> Any:
    """One base with every adapter under its task's name."""
    first, *others = plans
    model = backend(plans[first].method).attach(plans[first], folders[first] / layout.RESULT)
    model.load_adapter(str(folders[first] / layout.RESULT), first)
    model.set_adapter(first)
    model.delete_adapter("default")
    for name in others:
        model.load_adapter(str(folders[name] / layout.RESULT), name)
    return model


def main(arguments: list[str] | None = None) -> int:
    """Compare the finished tasks of a folder and print adapters.json. Return an exit code of trainers.exit_codes."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.training.compare", description="Adapters over one base."
    )
    parser.add_argument("run_dir", type=Path, help="folder of all tasks together")
    options = parser.parse_args(arguments)
    return explained(lambda: print(json.dumps(compare_tasks(options.run_dir, _say), indent=1)))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
