"""Another machine by ssh: the job goes to ~/sft-advisor/NAME, runs there without us, and its run comes back."""

from __future__ import annotations

from trainers.foreign.text import shell
from trainers.language import later
from trainers.remote.place import LEFT_THERE, Job, Place, Step, chosen_python, script, token

LOG = "job.log"


def _there(job: Job) -> str:
    return f"sft-advisor/{job.name}"


def _send(job: Job) -> tuple[Step, ...]:
    there = _there(job)
    return (script('tar -cf - . | ssh "$1" "$2"', job.where, f"mkdir -p {there} && tar -C {there} -xf -"),)


def _submit(job: Job) -> Step:
    settings = "".join(f"{name}={shell(value)} " for name, value in chosen_python().items())
    started = (
        f'cd {_there(job)} && read -r HF_TOKEN; [ -z "$HF_TOKEN" ] || export HF_TOKEN; '
        f"{settings}nohup bash start.sh > {LOG} 2>&1 < /dev/null & echo $!"
    )
    return Step(command=("ssh", job.where, started), stdin=f"{token()}\n")


def _follow(job: Job, identity: str) -> Step:
    watched = (
        f"cd {_there(job)} && {{ tail -n +1 -f {LOG} & shown=$!; "
        f"while kill -0 {shell(identity)} 2> /dev/null; do sleep 1; done; sleep 1; kill $shown; }}"
    )
    return Step(command=("ssh", job.where, watched))


def _alive(job: Job, identity: str) -> Step:
    return Step(command=("ssh", job.where, f"ps -o args= -p {shell(identity)} | grep -q start.sh"))


def _fetch(job: Job, identity: str) -> tuple[Step, ...]:
    packed = f"tar -C {_there(job)}/run --exclude=./{LEFT_THERE} -cf - ."
    return (script('ssh "$1" "$2" | tar -C "$3" -xf -', job.where, packed, str(job.run_dir)),)


PLACE = Place(
    target="ssh",
    where=later("a host as ssh takes it, such as me@gpu-box"),
    needs_where=True,
    programs=("ssh", "tar"),
    send=_send,
    submit=_submit,
    follow=_follow,
    alive=_alive,
    unreachable=255,
    fetch=_fetch,
    cancel=lambda job, identity: Step(command=("ssh", job.where, f"kill {shell(identity)}")),
)
