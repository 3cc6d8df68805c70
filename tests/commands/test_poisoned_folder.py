"""No command imports anything from the folder that the user stands in, whatever lies there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.commands import COMMANDS, UNDER
from tests.commands.test_offline import NO_NETWORK, without_switches
from tests.real_data import chatterbot_messages
from tests.trainers.plans import lora_plan
from trainers.plan import save_plan

ROOT = Path(__file__).resolve().parents[2]
POISON = (
    "sitecustomize", "usercustomize", "json", "random", "typing", "logging", "inspect", "abc", "dataclasses", "site",
    "torch", "numpy", "transformers", "peft", "trl", "datasets", "tokenizers", "accelerate", "safetensors", "polars",
    "msgspec", "rich", "jinja2", "huggingface_hub", "evaluate", "yaml", "psutil", "pynvml", "bitsandbytes",
    "advisor", "rules", "trainers", "tests", "landlockpy", "pyseccomp", "cel_expr_python", "detect_secrets",
)  # fmt: skip
READ_BY_LIBRARIES = {
    ".env": "HF_ENDPOINT=http://127.0.0.1:9\nPYTHONSTARTUP=evil.py\n",
    "pyproject.toml": "[tool",
    "setup.cfg": "[metadata",
    "matplotlibrc": "backend: module://torch\ntext.usetex: True\n",
    ".deepspeed_env": "LD_PRELOAD=./evil.so\n",
    "wandb/settings": "[default]\nbase_url = http://127.0.0.1:9\n",
    "plan.toml": "x",
    "config.json": "[",
    "rules/SEC-99-evil.toml": "x",
}
"""Settings that some library or program looks for where it is started."""
TRAIN = ("--model", "../model", "--dataset", "../chats.jsonl", "--hardware", "cpu")
SHORT = ("--max-steps", "2", "--lora-rank", "4", "--micro-batch-size", "2")
QUICK: dict[str, list[str]] = {
    "advise": ["--non-interactive", *TRAIN],
    "probe": ["probe"],
    "estimate": ["estimate", "../plan.toml"],
    "explain": ["explain", "lora"],
    "launch": ["launch", "../plan.toml", "--dry-run"],
    "train": ["train", "lora", *TRAIN, *SHORT, "--dry-run"],
    "train multitask": [
        "train",
        "multitask",
        "../plan.toml",
        "--task",
        "a=../chats.jsonl",
        "--task",
        "b=../chats.jsonl",
        "--dry-run",
    ],
    "race": ["race", "../missing.toml", "--run-dir", "race"],
    "runs": ["runs", "list", ".."],
    "runs resume": ["runs", "resume", "../nothing"],
    "launch preflight": ["launch", "preflight", "../missing.toml"],
    "runs merge": ["runs", "merge", "../nothing"],
    "runs push": ["runs", "push", "../nothing", "org/name"],
    "data": ["data", "check", "../chats.jsonl", "--model", "../model"],
    "doctor": ["doctor"],
    "doctor verify": ["doctor", "verify", "--help"],
    "doctor vet": ["doctor", "vet", "../model"],
    "mcp": ["mcp", "--list"],
    "map": ["map", "--hardware", "RTX 4090", "--json"],
    "where": ["where", "--model", "../model", "--data-examples", "1000", "--data-kind", "chat"],
    "ui": ["ui", "--help"],
    "rules": ["rules", "list"],
    "rules schema": ["rules", "schema"],
    "export": ["export", "../plan.toml", "--to", "trl"],
    "try": ["try", "--help"],
}
WHOLE = (
    ["train", "lora", *TRAIN, *SHORT, "--run-dir", "../run"],
    ["runs", "resume", "../run"],
    ["runs", "merge", "../run", "--output", "../merged", "--deliver"],
)
"""The commands that start other processes, to their end."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which whatever is imported leaves a mark, beside a model, data and a plan."""
    from tests.trainers.conftest import build_tiny_model

    around = tmp_path_factory.mktemp("around")
    folder = around / "clone"
    folder.mkdir()
    mark = f"import os\nopen({str(around / 'ran')!r}, 'a').write(__name__ + chr(10))\nos._exit(66)\n"
    for number, name in enumerate(POISON):
        if number % 2:
            (folder / f"{name}.py").write_text(mark)
        else:
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(mark)
    for name, content in READ_BY_LIBRARIES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    (around / "site").mkdir()
    (around / "site" / "sitecustomize.py").write_text(NO_NETWORK)
    build_tiny_model(around / "model")
    chatterbot_messages(around / "chats.jsonl", limit=60)
    save_plan(lora_plan(), around / "plan.toml")
    # what pip writes for [project.scripts]: the folder of the script comes first in sys.path, not the user's
    (around / "bin").mkdir()
    (around / "bin" / "sft-advisor").write_text(
        "import sys\nfrom advisor.commands.cli import main\nsys.exit(main())\n"
    )
    return around


def run(place: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(place / "site")])
    own = {"PYTHONPATH": path, "SFT_ADVISOR_HOME": str(place / "home"), "HF_HOME": str(place / "hf")}
    done = subprocess.run(
        [sys.executable, str(place / "bin" / "sft-advisor"), *arguments],
        cwd=place / "clone",
        env={**without_switches(), **own, "REACHED": str(place / "reached"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    ran = place / "ran"
    assert not ran.exists(), f"{arguments} imported {ran.read_text()} from the current folder"
    assert done.returncode not in (1, 66), done.stderr
    return done


def test_the_poison_works(place: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import torch"], cwd=place / "clone", check=False)
    assert done.returncode == 66
    (place / "ran").unlink()


def test_every_command_is_tried() -> None:
    assert set(QUICK) == {*COMMANDS, *UNDER, "advise"}


@pytest.mark.parametrize("command", QUICK)
def test_a_command_imports_nothing_from_the_current_folder(place: Path, command: str) -> None:
    run(place, QUICK[command])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_whole_job_imports_nothing_from_the_current_folder_and_reaches_for_no_network(place: Path) -> None:
    for arguments in WHOLE:
        done = run(place, arguments)
        assert done.returncode in (0, 2), done.stderr  # 2: what is finished cannot be resumed
    assert not (place / "reached").exists(), (place / "reached").read_text()
    assert (place / "run" / "preflight.json").exists()
    assert (place / "run" / "report.html").exists()
    assert (place / "merged" / "README.md").exists()
