"""The plan as a folder for any machine with Python: copy it there, `bash start.sh`."""

from __future__ import annotations

from typing import get_args

from trainers.errors import PlanRefused
from trainers.export.job import START, texts
from trainers.export.table import Export, Target
from trainers.method import Method
from trainers.plan import TrainingPlan

TARGET = Target(title="SSH", trains_by_itself=False, methods=get_args(Method))


def export(plan: TrainingPlan) -> Export:
    """The scripts and the plan. Raises PlanRefused for a plan over several nodes."""
    require_one_node(plan, TARGET.title)
    return Export(
        files=texts(plan),
        command=f"bash {START}",
        notes=(
            "copy the folder to the machine first; it holds data, wheel and versions",
            "PYTHON=/path/to/python takes an environment that is there, instead of making one",
        ),
    )


def require_one_node(plan: TrainingPlan, title: str) -> None:
    """Raise PlanRefused when the plan needs several machines that something has to bring together."""
    if plan.num_nodes > 1:
        raise PlanRefused(
            f"the plan spans {plan.num_nodes} nodes, and {title} starts one",
            why="somebody has to start every node, and tell each where they meet",
            fix="take slurm, kubernetes, skypilot or ray, which do",
        )
