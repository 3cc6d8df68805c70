"""Training speed of our launch against a plain TRL script: `python tests/benchmarks/train_speed.py [--examples 96]`.

Three trainings on the same examples, model and machine, taken in turns: TRL as its documentation starts it, our
launch with exactly those settings, our launch with the plan that the advisor gives. Targets: the same settings at
0.98 of TRL's speed or more; the advisor's plan at 1.5 or more on short conversations, with an evaluation loss no
higher after the same number of examples. Tokens are those of the examples, without padding; seconds are those inside
`Trainer.train` without its evaluation. The best of the rounds counts, for what else the machine does only ever adds
time; where it is never quiet `--cpu-time` counts processor seconds. About 6 minutes on 2 idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

SAME_TARGET, OWN_TARGET = 0.98, 1.5
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
"""As it is at the start: the tests whose data is borrowed allow themselves one thread only."""

TIMED = """
import json, sys, time
from trl import SFTTrainer

evaluating = [0.0, 0.0]

def taken(call):
    wall, cpu = time.perf_counter(), time.process_time()
    done = call()
    return done, time.perf_counter() - wall, time.process_time() - cpu

def evaluate(self, *args, _evaluate=SFTTrainer.evaluate, **kwargs):
    done, wall, cpu = taken(lambda: _evaluate(self, *args, **kwargs))
    evaluating[0] += wall
    evaluating[1] += cpu
    return done

def train(self, *args, _train=SFTTrainer.train, **kwargs):
    done, wall, cpu = taken(lambda: _train(self, *args, **kwargs))
    print("RESULT", json.dumps({"wall": wall - evaluating[0], "cpu": cpu - evaluating[1]}), flush=True)
    return done

SFTTrainer.evaluate, SFTTrainer.train = evaluate, train
"""
"""Put in front of both, so that both are timed alike. Evaluation is left out: the plain script has none."""

OURS = """
from trainers.training import run
sys.exit(run.main(sys.argv[1:]))
"""

PLAIN = """
from datasets import load_dataset
from peft import LoraConfig
from trl import SFTConfig

model, data, out = sys.argv[1:4]
trainer = SFTTrainer(
    model=model,
    args=SFTConfig(output_dir=out, num_train_epochs=1, use_cpu=True, report_to="none"),
    train_dataset=load_dataset("json", data_files=data, split="train"),
    peft_config=LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear"),
)
trainer.train()
trainer.save_model(out)
"""

AS_TRL = {
    "compute_dtype": "bf16",
    "weights_dtype": "fp32",
    "learning_rate": 2e-5,
    "lr_scheduler": "linear",
    "warmup_steps": 0,
    "micro_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "max_seq_len": 1024,
    "gradient_checkpointing": True,
    "optimizer": "adamw_torch_fused",
    "loss_on": "all",
    "logging_steps": 10,
    "save_steps": 500,
    "lora_rank": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_targets": ["all-linear"],
    "method": "lora",
    "accelerator": "cpu",
    "min_lr_ratio": 0.0,
}
"""TRL 1.16's defaults as a plan. What is left out is the same in both."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="count processor seconds, not those of the clock")
    parser.add_argument("--output", metavar="FILE.json", type=Path, help="write the figures as JSON there too")
    options = parser.parse_args()
    clock = "cpu" if options.cpu_time else "wall"
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.examples, options.rounds, clock)
    if options.output:
        options.output.write_text(json.dumps(found, indent=2) + "\n")
    return judge(found)


def measure(folder: Path, examples: int, rounds: int, clock: str) -> dict[str, Any]:
    from trainers.training.embedded import ensure_embedded_model

    model = str(ensure_embedded_model())
    train, held_back = write_data(folder, examples)
    data = {"source": str(train), "eval_source": str(held_back), "format": "messages", "eval_fraction": 0.0}
    same = {**AS_TRL, "model": {"name": model}, "dataset": data, "num_epochs": 1.0}
    own = advised(model, train) | {"dataset": data, "num_epochs": 1.0}
    own.pop("max_steps", None)
    quiet = {"eval_steps": 10_000, "save_steps": 10_000}
    times: dict[str, list[dict[str, float]]] = {"plain TRL": [], "same settings": [], "advisor's plan": []}
    for turn in range(rounds):
        times["plain TRL"].append(run_plain(model, train, folder / f"plain{turn}"))
        times["same settings"].append(run_ours(same | quiet, folder / f"same{turn}"))
        times["advisor's plan"].append(run_ours(own | quiet, folder / f"own{turn}"))
    data_record = json.loads((folder / "same0" / "run.json").read_bytes())["data"]
    tokens = data_record["train_tokens"]
    adapters = {"plain TRL": folder / "plain0", "advisor's plan": folder / "own0" / "result"}
    losses = {name: loss_of(model, adapter, folder / "own0") for name, adapter in adapters.items()}
    return {
        "tokens": tokens,
        "clock": clock,
        "tokens_per_second": {
            name: round(tokens / min(taken[clock] for taken in turns), 1) for name, turns in times.items()
        },
        "seconds": times,
        "evaluation_loss": losses,
        "plan": {
            key: own[key] for key in ("micro_batch_size", "gradient_accumulation_steps", "packing", "compute_dtype")
        },
    }


def judge(found: dict[str, Any]) -> int:
    """Print a table and the JSON; 1 when a target is missed."""
    speed, losses = found["tokens_per_second"], found["evaluation_loss"]
    for name, rate in speed.items():
        loss = f"   evaluation loss {losses[name]:.4f}" if name in losses else ""
        print(f"{name:16} {rate:8.1f} tokens/s   {rate / speed['plain TRL']:.2f}x{loss}")
    met = {
        f"same settings >= {SAME_TARGET}x": speed["same settings"] >= SAME_TARGET * speed["plain TRL"],
        f"advisor's plan >= {OWN_TARGET}x": speed["advisor's plan"] >= OWN_TARGET * speed["plain TRL"],
        "evaluation loss no higher": losses["advisor's plan"] <= losses["plain TRL"],
    }
    for target, reached in met.items():
        print(f"{'met' if reached else 'MISSED':7} {target}")
    print(json.dumps(found))
    return 0 if all(met.values()) else 1


def write_data(folder: Path, examples: int) -> tuple[Path, Path]:
    """Short real conversations: the first for training, the next 32 kept back."""
    from tests.trainers.conftest import conversations

    chats = conversations()[: examples + 32]
    files = folder / "train.jsonl", folder / "held_back.jsonl"
    for file, part in zip(files, (chats[:examples], chats[examples:]), strict=True):
        file.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in part), encoding="utf-8")
    return files


def advised(model: str, data: Path) -> dict[str, Any]:
    """The plan that the advisor gives for this model and data on this machine."""
    command = [sys.executable, "-m", "advisor", "--non-interactive", "--model", model, "--dataset", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    plan: dict[str, Any] = json.loads(done.stdout)["plan"]
    return {name: value for name, value in plan.items() if value is not None}


def run_plain(model: str, data: Path, out: Path) -> dict[str, float]:
    return timed_child(PLAIN, model, str(data), str(out))


def run_ours(plan: dict[str, Any], run_dir: Path) -> dict[str, float]:
    from trainers.plan import plan_from_dict, save_plan

    file = run_dir.with_suffix(".toml")
    save_plan(plan_from_dict(plan), file)
    return timed_child(OURS, str(file), "--run-dir", str(run_dir))


def timed_child(code: str, *arguments: str) -> dict[str, float]:
    """Seconds inside `Trainer.train`, by the clock and of the processor."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED + code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=ENVIRONMENT,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    found: dict[str, float] = json.loads(line.removeprefix("RESULT"))
    return found


def loss_of(model: str, adapter: Path, run_dir: Path) -> float:
    """Mean loss over the answers' tokens of the examples kept back, in fp32."""
    import torch
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, str(adapter)).eval()
    total = count = 0.0
    for row in Dataset.from_file(str(run_dir / "data" / "eval.arrow")):
        labels = torch.tensor([row["labels"]])
        with torch.inference_mode():
            loss = tuned(input_ids=torch.tensor([row["input_ids"]]), labels=labels).loss.item()
        learnt = int((labels[0, 1:] != -100).sum())
        total, count = total + loss * learnt, count + learnt
    return total / count


if __name__ == "__main__":
    sys.exit(main())
