"""What a run may say to the network: nothing that was not asked for.

    --network none    no packet; the hub's cache answers, or nobody
    --network hub     the hub, for what the plan names there; trackers write to disk
    --network all     trackers, too

Without the flag a run gets what its plan names: `none` when model and data are on this disk, `hub` when one of them
is a hub id, `all` when `report_to` names a tracker that lives elsewhere. Usage reports of the libraries stay off in
every case. What the caller has set in the environment stays; only the flag is stronger.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Literal, get_args

from trainers.plan import TrainingPlan

Network = Literal["none", "hub", "all"]
CHOICES: tuple[Network, ...] = get_args(Network)
VARIABLE = "SFT_ADVISOR_NETWORK"
"""Holds the flag for the processes that a command starts."""
NO_REPORTS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
HUB_OFF = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
TRACKERS_OFF = {"WANDB_MODE": "offline"}
LOCAL_TRACKERS = frozenset({"tensorboard", "trackio", "none"})
"""Values of `report_to` that write to this disk; trackio does unless it is given a space on the hub."""
OFFLINE_TRACKERS = frozenset({"wandb"})
"""Those that TRACKERS_OFF keeps on this disk."""


def network_of(plan: TrainingPlan, caller: Mapping[str, str]) -> Network:
    """What the run may reach: the flag, else what the plan names."""
    asked = caller.get(VARIABLE)
    for choice in CHOICES:
        if choice == asked:
            return choice
    if any(name not in LOCAL_TRACKERS for name in plan.report_to):
        return "all"
    sources = [plan.model.name]
    if plan.dataset is not None:
        sources += [plan.dataset.source, *([plan.dataset.eval_source] if plan.dataset.eval_source else [])]
    return "none" if all(_on_disk(source) for source in sources) else "hub"


def _on_disk(source: str) -> bool:
    """Whether a name can only be a path: something is there, or it is written as no hub id is."""
    return source.startswith(("./", "/", "~")) or Path(source).expanduser().exists()


def network_environment(plan: TrainingPlan, caller: Mapping[str, str]) -> dict[str, str]:
    """What is set on top of `caller` for the processes of this plan."""
    network = network_of(plan, caller)
    switches = (HUB_OFF if network == "none" else {}) | (TRACKERS_OFF if network != "all" and plan.report_to else {})
    asked = VARIABLE in caller
    wanted = {name: value for name, value in switches.items() if asked or caller.get(name, value) == value}
    return {name: value for name, value in NO_REPORTS.items() if caller.get(name, value) == value} | wanted


def trackers_of(plan: TrainingPlan, caller: Mapping[str, str]) -> list[str]:
    """The trackers that the run may speak to: without `all`, those that write to this disk or can be told to."""
    if network_of(plan, caller) == "all":
        return list(plan.report_to)
    return [name for name in plan.report_to if name in LOCAL_TRACKERS | OFFLINE_TRACKERS]


def network_sentence(plan: TrainingPlan, caller: Mapping[str, str]) -> str:
    """What a dry run says of it."""
    return {
        "none": "none: model and data are read from this disk, and nothing is sent",
        "hub": "the Hugging Face hub, for the model or data that the plan names there; nothing else is sent",
        "all": f"the hub and {', '.join(plan.report_to) or 'trackers'}, which gets the run's metrics and settings",
    }[network_of(plan, caller)]


def stay_quiet(environment: MutableMapping[str, str], network: str | None = None) -> None:
    """Switch usage reports off in this process before a library looks, and the hub too where `network` is none."""
    for name, value in NO_REPORTS.items():
        environment.setdefault(name, value)
    if network is not None:
        environment[VARIABLE] = network
    if environment.get(VARIABLE) == "none":
        environment.update(HUB_OFF)
