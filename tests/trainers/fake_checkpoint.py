"""Checkpoint folders with the files and formats of the real ones, written without torch in milliseconds."""

import json
import struct
import zipfile
from pathlib import Path


def safetensors_bytes(values: int = 64) -> bytes:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\x01" * (4 * values)


def write_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"state" * 20)


def write_checkpoint(folder: Path, step: int, *, ranks: int = 1, loss: float = 1.5) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "adapter_model.safetensors").write_bytes(safetensors_bytes())
    write_archive(path / "optimizer.pt")
    write_archive(path / "scheduler.pt")
    for name in ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]:
        write_archive(path / name)
    history = [{"step": step, "loss": loss, "grad_norm": 0.5}]
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": history}))
    return path
