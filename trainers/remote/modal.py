"""Modal: an app of one function, whose run is kept in a volume. Its client follows what it starts."""

from __future__ import annotations

from trainers.export.modal import PROGRAM, VOLUME, program
from trainers.remote.place import LEFT_THERE, Place, Step, script

_FETCH = f"""
modal volume get --force {VOLUME} "$1" "$2" && rm -rf "$2/$1/{LEFT_THERE}" && cp -R "$2/$1/." "$2" && rm -rf "$2/$1"
"""


PLACE = Place(
    target="modal",
    programs=("modal",),
    files=lambda job: {PROGRAM: program(job.plan, job.name)},
    submit=lambda job: Step(command=("echo", job.name)),
    follow=lambda job, identity: Step(command=("modal", "run", "--detach", "--name", identity, PROGRAM)),
    alive=lambda job, identity: Step(command=("false",)),
    fetch=lambda job, identity: (script(_FETCH, job.name, str(job.run_dir)),),
    cancel=lambda job, identity: Step(command=("modal", "app", "stop", identity)),
)
