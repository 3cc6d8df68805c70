"""Write the exported SLURM job of a small real training into a folder: `python -m tests.soak.slurm_job FOLDER`."""

import json
import sys
from pathlib import Path

from tests.trainers.conftest import build_tiny_model, conversations
from trainers.export import write
from trainers.plan import plan_from_dict


def main(folder: Path) -> None:
    build_tiny_model(folder / "model")
    chats = "".join(json.dumps({"messages": chat}) + "\n" for chat in conversations()[:200])
    (folder / "chats.jsonl").write_text(chats)
    plan = plan_from_dict(
        {
            "model": {"name": str(folder / "model")},
            "dataset": {"source": str(folder / "chats.jsonl")},
            "method": "lora",
            "lora_rank": 8,
            "lora_alpha": 16,
            "lora_targets": ["all-linear"],
            "compute_dtype": "fp32",
            "weights_dtype": "fp32",
            "accelerator": "cpu",
            "max_seq_len": 128,
            "micro_batch_size": 8,
            "max_steps": 60,
            "save_steps": 5,
            "eval_steps": 1000,
        }
    )
    write(plan, "slurm", folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
