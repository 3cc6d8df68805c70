"""Places to run a job beside this machine, a module each: `sft-advisor launch PLAN --on slurm`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from trainers.errors import PlanRefused
from trainers.language import tr

if TYPE_CHECKING:
    from trainers.remote.place import Place

PLACES: dict[str, str] = {
    "ssh": "trainers.remote.ssh",
    "docker": "trainers.remote.docker",
    "slurm": "trainers.remote.slurm",
    "kubernetes": "trainers.remote.kubernetes",
    "skypilot": "trainers.remote.skypilot",
    "ray": "trainers.remote.ray",
    "modal": "trainers.remote.modal",
}
"""Name -> the module, whose PLACE says how a job gets there, starts, is followed and comes back. The export target of
the same name writes the job."""


def place_of(name: str) -> Place:
    """The place of this name. Raises PlanRefused when there is none."""
    if name not in PLACES:
        raise PlanRefused(
            tr("{name!r} is no place to run", name=name), fix=tr("choose one of {places}", places=", ".join(PLACES))
        )
    place: Place = import_module(PLACES[name]).PLACE
    return place
