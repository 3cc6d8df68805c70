"""Real places: `python -m tests.soak.places [ssh|docker|ray ...]`; without names, all that can run here.

A small job with a local dataset and model is launched, preempted once after its first checkpoint, and has to end with
every step once and its adapter here. ssh starts a server of its own (Debian: openssh-server) and leaves
~/sft-advisor/sft-soak-ssh behind; docker takes an image named by SOAK_IMAGE that has bash and this environment at the
same path; ray takes a `ray` of the same Python version (pip install 'sft-advisor[ray]') and starts a cluster of one
node. Two minutes each on an idle machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.trainers.conftest import build_tiny_model, conversations
from trainers.plan import plan_from_dict, save_plan
from trainers.run_folder import layout

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
"""What is installed beside this Python comes first."""
STEPS = 40
PATIENCE_SECONDS = 600


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


PORT, DASHBOARD = free_port(), free_port()
RAY_HEAD = """
import signal, sys, ray
ray.init(num_cpus=2, include_dashboard=True, dashboard_port=int(sys.argv[2]), _temp_dir=sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
signal.pause()
"""


def write_case(folder: Path) -> Path:
    """A plan of a tiny model on real conversations. Returns its file."""
    build_tiny_model(folder / "tiny")
    chats = "".join(json.dumps({"messages": chat}) + "\n" for chat in conversations()[:200])
    (folder / "chats.jsonl").write_text(chats, encoding="utf-8")
    plan = plan_from_dict(
        {
            "model": {"name": str(folder / "tiny")},
            "dataset": {"source": str(folder / "chats.jsonl"), "eval_fraction": 0.1},
            "method": "lora",
            "lora_rank": 8,
            "lora_alpha": 16,
            "lora_targets": ["all-linear"],
            "compute_dtype": "fp32",
            "weights_dtype": "fp32",
            "accelerator": "cpu",
            "max_seq_len": 128,
            "micro_batch_size": 4,
            "max_steps": STEPS,
            "save_steps": 2,
            "eval_steps": 1000,
            "load_best_model_at_end": False,
        }
    )
    save_plan(plan, folder / "plan.toml")
    return folder / "plan.toml"


@contextlib.contextmanager
def ssh_server(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """A server of this machine's, and an ssh in front of the others that knows how to reach it."""
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    settings = {
        "Port": PORT, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "UsePAM": "no", "StrictModes": "no",
        "AuthorizedKeysFile": folder / "key.pub", "PermitRootLogin": "yes", "PidFile": folder / "sshd.pid",
    }  # fmt: skip
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", folder / "sshd_config", "-E", folder / "sshd.log"])
    wrapper = folder / "bin" / "ssh"
    wrapper.parent.mkdir()
    options = (
        f"-p {PORT} -i {folder}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    )
    wrapper.write_text(f'#!/bin/bash\nexec {shutil.which("ssh")} {options} "$@"\n')
    wrapper.chmod(0o755)
    environment["PATH"] = f"{wrapper.parent}:{environment['PATH']}"
    try:
        yield "ssh:127.0.0.1"
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def ray_cluster(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """A head that is the whole cluster, started by ray.init: `ray start` adds a server of clients that no job needs,
    and takes all down where a busy machine keeps that one waiting for half a minute.
    """
    program = Path(shutil.which("ray", path=PATH) or "").read_text(encoding="utf-8")
    python = program.splitlines()[0].removeprefix("#!")
    log = (folder / "ray.log").open("wb")
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}  # as clusters of today have
    waits = dict.fromkeys(("RAY_DASHBOARD_STARTUP_TIMEOUT_S", "RAY_raylet_start_wait_time_s"), str(PATIENCE_SECONDS))
    # sockets in the temporary folder allow short paths only
    temporary = f"/tmp/ray-soak-{os.getpid()}"
    words = [python, "-c", RAY_HEAD, temporary, str(DASHBOARD)]
    head = subprocess.Popen(words, stdout=log, stderr=log, env=environment | waits)
    nothing = ["ray", "job", "submit", f"--address=http://127.0.0.1:{DASHBOARD}", "--", "true"]
    try:
        wait_for("the cluster", lambda: takes_jobs(head, nothing, environment))
        yield f"ray:http://127.0.0.1:{DASHBOARD}"
    finally:
        head.terminate()
        head.wait()
        log.close()
        shutil.rmtree(temporary, ignore_errors=True)
        if head.returncode:
            print((folder / "ray.log").read_text(encoding="utf-8", errors="replace")[-3000:])


def takes_jobs(head: subprocess.Popen[bytes], job: list[str], environment: dict[str, str]) -> bool:
    """Whether the cluster ran a job. Raises AssertionError where it has gone."""
    assert head.poll() is None, f"the cluster ended with {head.returncode}: see its log"
    return subprocess.run(job, env=environment, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def docker_image(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The image is the caller's: none can be pulled or built everywhere."""
    yield f"docker:{os.environ['SOAK_IMAGE']}"


PLACES = {"ssh": ssh_server, "ray": ray_cluster, "docker": docker_image}


def can_run(place: str) -> str:
    """What is missing for a place here; "" for nothing."""
    if place == "ssh":
        return "" if Path("/usr/sbin/sshd").exists() and os.getuid() == 0 else "openssh-server, and root"
    if place == "docker":
        return "" if "SOAK_IMAGE" in os.environ else "SOAK_IMAGE"
    return "" if shutil.which("ray", path=PATH) else "ray"


def wait_for(what: str, is_so) -> None:  # type: ignore[no-untyped-def]
    """Return when it is so. Raises TimeoutError when it takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up waiting for {what}")
        time.sleep(0.5)


def preempt(place: str, run_dir: Path, environment: dict[str, str]) -> None:
    """As where a machine is taken away: asked to stop (ssh), killed (docker), stopped by the cluster (ray)."""
    identity = json.loads((run_dir / layout.SUBMITTED).read_bytes())["id"]
    command = {
        "ssh": ["kill", "-TERM", identity],
        "docker": ["docker", "kill", identity],
        "ray": ["ray", "job", "stop", f"--address=http://127.0.0.1:{DASHBOARD}", identity],
    }[place]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def run_folder_there(place: str, run_dir: Path) -> Path:
    """Where the run is while it runs: at the place, or here already."""
    return Path.home() / "sft-advisor" / f"sft-{run_dir.name}" / "run" if place == "ssh" else run_dir


def carry(place: str, folder: Path) -> None:
    """Launch, preempt once, and look at what came back. Raises AssertionError when it is not whole."""
    plan = write_case(folder)
    run_dir = folder / f"soak-{place}"
    shutil.rmtree(run_folder_there("ssh", run_dir).parent, ignore_errors=True)
    python = folder / "python"  # the job runs this checkout, whatever the environment has installed
    python.write_text(f'#!/bin/bash\nexport PYTHONPATH={ROOT} OMP_NUM_THREADS=1\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": PATH, "PYTHONPATH": str(ROOT), "SFT_ADVISOR_PYTHON": str(python)}
    with PLACES[place](folder, environment) as on:
        words = ["launch", str(plan), "--on", on, "--run-dir", str(run_dir), "--allow", "truncation"]
        launch = subprocess.Popen([sys.executable, "-m", "advisor", *words], env=environment)
        there = run_folder_there(place, run_dir) / layout.CHECKPOINTS
        wait_for("a checkpoint", lambda: launch.poll() is not None or any(there.glob("checkpoint-*/COMPLETE.json")))
        assert launch.poll() is None, f"the launch ended with {launch.returncode} before it could be preempted"
        preempt(place, run_dir, environment)
        assert launch.wait(PATIENCE_SECONDS) == 0
    steps = [json.loads(line)["step"] for line in (run_dir / layout.METRICS).open() if '"loss"' in line]
    assert steps == list(range(1, STEPS + 1)), steps
    assert (run_dir / layout.RESULT / "adapter_model.safetensors").is_file()
    print(f"ok       {place}: {STEPS} steps, none missing, none twice; preempted once; the adapter is here")


def main(names: list[str]) -> int:
    """0 when every place that can run here brought its job back."""
    for place in names or PLACES:
        if missing := can_run(place):
            print(f"skipped  {place}: needs {missing}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            carry(place, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
