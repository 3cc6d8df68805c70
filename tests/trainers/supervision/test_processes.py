"""More than one process, for real: gloo, torchrun, two nodes over loopback, FSDP2 with real DTensors."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safetensors import safe_open

from tests.trainers.warm import free_port
from tests.waiting import PATIENCE_SECONDS, wait_until
from trainers import exit_codes
from trainers.plan import TrainingPlan, plan_from_dict, save_plan
from trainers.run_folder.checkpoint import scan
from trainers.supervision.supervise import Supervisor

pytestmark = pytest.mark.slow
FSDP = "tests.trainers.fsdp_on_cpu"
DDP_AND_FSDP = [("lora", "ddp", "trainers.training.run"), ("full", "fsdp", FSDP)]


@pytest.fixture
def make(make_plan: Callable[..., dict[str, Any]]) -> Callable[..., TrainingPlan]:
    def build(method: str, **fields: Any) -> TrainingPlan:
        shape = {"max_steps": 8, "save_steps": 3, "eval_steps": 100, "learning_rate": 1e-3}
        return plan_from_dict(make_plan(method, **{**shape, **fields}))

    return build


@pytest.fixture(scope="module")
def on_one(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrainingPlan], Path]:
    """The run folder of a plan on one process; each method is trained once."""
    folders: dict[str, Path] = {}

    def train(plan: TrainingPlan) -> Path:
        if plan.method not in folders:
            folders[plan.method] = tmp_path_factory.mktemp(plan.method)
            assert Supervisor(folders[plan.method]).carry_out(plan) == exit_codes.DONE
        return folders[plan.method]

    return train


def losses(run_dir: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def on_two(plan: TrainingPlan, **fields: Any) -> TrainingPlan:
    """The same global batch on two processes."""
    return msgspec.structs.replace(plan, num_gpus=2, micro_batch_size=plan.micro_batch_size // 2, **fields)


def said_by(run_dir: Path) -> str:
    """What every node of a run wrote, for the message of a failed test."""
    files = [*sorted(run_dir.glob("train*.log")), run_dir / "events.jsonl"]
    return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in files)


def stop_at_step(plan: TrainingPlan, run_dir: Path, step: int, module: str) -> int:
    """Train under a supervisor in another process until `step` is logged, then SIGTERM it. Return its exit code."""
    save_plan(plan, run_dir / "asked.toml")
    code = (
        "import sys; from pathlib import Path; from trainers.plan import load_plan;"
        "from trainers.supervision.supervise import Supervisor; d = Path(sys.argv[1]);"
        "sys.exit(Supervisor(d, module=sys.argv[2]).carry_out(load_plan(d / 'asked.toml')))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run_dir), module], start_new_session=True)

    def reached() -> bool:
        assert process.poll() is None, said_by(run_dir)
        return (run_dir / "metrics.jsonl").exists() and max(losses(run_dir), default=0) >= step

    wait_until(reached, lambda: said_by(run_dir))
    process.terminate()
    return process.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("method", "sharding", "module"), DDP_AND_FSDP if os.environ.get("SOAK") else DDP_AND_FSDP[1:]
)
def test_two_processes_learn_the_curve_of_one_also_when_stopped_and_resumed(
    make: Callable[..., TrainingPlan],
    on_one: Callable[[TrainingPlan], Path],
    tmp_path: Path,
    method: str,
    sharding: Any,
    module: str,
) -> None:
    plan = make(method)
    one = on_one(plan)
    two = on_two(plan, sharding=sharding)
    assert stop_at_step(two, tmp_path / "two", 2, module) == exit_codes.STOPPED
    stopped = scan(tmp_path / "two")[0]
    assert stopped.problems == ()
    assert json.loads((stopped.path / "COMPLETE.json").read_bytes())["world_size"] == 2
    assert {file.name for file in stopped.path.glob("rng_state_*")} == {"rng_state_0.pth", "rng_state_1.pth"}
    assert Supervisor(tmp_path / "two", module=module).carry_out(two) == exit_codes.DONE
    assert losses(tmp_path / "two") == pytest.approx(losses(one), rel=2e-3)
    samples = json.loads((tmp_path / "two" / "samples.json").read_bytes())
    assert samples["tuned"]["loss"] < samples["base"]["loss"]
    assert all(sample["base"] is not None and sample["tuned"] is not None for sample in samples["samples"])
    assert "loss on the kept-back part" in (tmp_path / "two" / "result" / "README.md").read_text()
    assert "Answers on rows that were kept back" in (tmp_path / "two" / "report.html").read_text()
    with safe_open(next((tmp_path / "two" / "result").glob("*.safetensors")), "pt") as saved:
        names = set(saved.keys())
    with safe_open(next((one / "result").glob("*.safetensors")), "pt") as saved:
        assert names == set(saved.keys())


@pytest.mark.parametrize(
    ("method", "sharding", "module"), DDP_AND_FSDP if os.environ.get("SOAK") else DDP_AND_FSDP[:1]
)
def test_two_nodes_meet_over_loopback(
    make: Callable[..., TrainingPlan],
    on_one: Callable[[TrainingPlan], Path],
    tmp_path: Path,
    method: str,
    sharding: Any,
    module: str,
) -> None:
    one = losses(on_one(make(method)))
    two = on_two(make(method), sharding=sharding, num_nodes=2, max_steps=3)
    meeting = f"127.0.0.1:{free_port()}"
    save_plan(two, tmp_path / "asked.toml")
    code = (
        "import sys; from pathlib import Path; from trainers.plan import load_plan;"
        "from trainers.supervision.supervise import Supervisor;"
        "run_dir, meeting, module = Path(sys.argv[2]), *sys.argv[3:];"
        "supervisor = Supervisor(run_dir, rendezvous=meeting, module=module);"
        "sys.exit(supervisor.carry_out(load_plan(Path(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "asked.toml"), str(tmp_path / "two"), meeting, module]
    nodes = [subprocess.Popen(command) for _ in range(2)]
    try:
        codes = [node.wait(PATIENCE_SECONDS) for node in nodes]
    except subprocess.TimeoutExpired:
        codes = []
        for node in nodes:
            node.kill()  # the kernel then ends their training processes
    assert codes == [exit_codes.DONE, exit_codes.DONE], said_by(tmp_path / "two")
    assert losses(tmp_path / "two") == pytest.approx({step: one[step] for step in (1, 2, 3)}, rel=2e-3)
    assert len(list((tmp_path / "two").glob("train-*.log"))) == 2
