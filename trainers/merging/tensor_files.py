"""safetensors files read and written one tensor at a time, so that memory holds the largest tensor and not the model.

Format: 8 bytes of header length, a JSON header with dtype, shape and offsets of each tensor, then the tensors.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import torch

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


class Slot(msgspec.Struct, frozen=True):
    """Where one tensor will lie: its safetensors dtype name, its shape, its size."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


class TensorFolder:
    """The safetensors files of one model, opened lazily: names, shapes, and one tensor at a time."""

    def __init__(self, folder: Path) -> None:
        self.files = _files(folder)
        self._open = ExitStack()
        self._handles: dict[str, Any] = {}
        self.file_of: dict[str, str] = {}

    def __enter__(self) -> TensorFolder:
        from safetensors import safe_open

        for file in self.files:
            handle = self._open.enter_context(safe_open(file, framework="pt", device="cpu"))
            for name in handle.keys():  # noqa: SIM118  safe_open is not a mapping
                self._handles[name] = handle
                self.file_of[name] = file.name
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self._handles)

    def __contains__(self, name: object) -> bool:
        return name in self._handles

    def shape(self, name: str) -> tuple[int, ...]:
        """Dimensions, from the header."""
        return tuple(self._handles[name].get_slice(name).get_shape())

    def dtype(self, name: str) -> str:
        """safetensors name of the dtype (`BF16`), from the header."""
        return str(self._handles[name].get_slice(name).get_dtype())

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor itself."""
        found: torch.Tensor = self._handles[name].get_tensor(name)
        return found


class TensorWriter:
    """Writes one safetensors file tensor by tensor, in the order in which `slots` lists them."""

    def __init__(self, path: Path, slots: dict[str, Slot]) -> None:
        self.path, self.slots = path, slots
        self._awaited = list(slots)

    def __enter__(self) -> TensorWriter:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        offset = 0
        for name, slot in self.slots.items():
            header[name] = {"dtype": slot.dtype, "shape": slot.shape, "data_offsets": [offset, offset + slot.bytes]}
            offset += slot.bytes
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self._file = self.path.open("wb")
        self._file.write(struct.pack("<Q", len(text)) + text)
        return self

    def write(self, name: str, tensor: torch.Tensor) -> None:
        """The next tensor. Raises ValueError when it is not the one awaited, or not of the size announced."""
        import torch

        awaited = self._awaited.pop(0) if self._awaited else None
        slot = self.slots.get(name)
        size = tensor.numel() * tensor.element_size()
        if name != awaited or slot is None or slot.bytes != size:
            raise ValueError(f"{name} ({size} bytes) came where {awaited} was announced")
        self._file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def __exit__(self, kind: Any, *_: object) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if kind is None and self._awaited:
            raise ValueError(f"{self.path.name} lacks {len(self._awaited)} tensors")


def _files(folder: Path) -> list[Path]:
    index = folder / INDEX_FILE
    if index.is_file():
        return [folder / name for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))]
    return [folder / SINGLE_FILE] if (folder / SINGLE_FILE).is_file() else []
