"""Host RAM beside a device: the processes themselves, what is offloaded, loading, and a merge."""

from __future__ import annotations

from advisor.estimate import constants as const
from advisor.estimate.state import State
from advisor.model.spec import ModelSpec
from trainers.plan import TrainingPlan


def host_bytes(plan: TrainingPlan, state: State, waiting: int) -> int:
    """Bytes of all training processes of one node; `waiting`: activations of one process that are offloaded."""
    processes = max(1, plan.num_gpus // plan.num_nodes)
    base = processes * const.PROCESS_HOST_BYTES
    running = base + processes * (state.placed.host + waiting)
    loading = base
    if plan.sharding == "fsdp":
        # one process reads the model and hands out shards; a 4-bit base is read by each
        loading += state.stored.total * (processes if state.storage != "none" else 1)
    return max(running, loading)


def merge_host_bytes(model: ModelSpec) -> int:
    """Host RAM of a merge with its check, in a process of its own: adapter and merged model are compared in fp32.

    Without the check a merge goes weight by weight and needs little more than the largest one.
    """
    return const.PROCESS_HOST_BYTES + 4 * model.num_params
