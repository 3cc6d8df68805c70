"""What the estimators return. Integers in bytes (or seconds as floats); parts always add up to their total."""

from __future__ import annotations

from typing import Literal

import msgspec

Phase = Literal["load", "forward", "backward", "optimizer_step", "evaluation", "save", "merge"]
Counter = Literal["allocated", "reserved", "device"]

COMPONENTS = (
    "weights",
    "adapters",
    "gradients",
    "optimizer_states",
    "activations",
    "logits",
    "buffers",
    "runtime",
)
"""The components of every bar, in the order in which they are stacked. `buffers`: dequantisation, autocast copies,
all-gather and bucket buffers, optimizer temporaries. `runtime`: CUDA context, cuBLAS, NCCL, allocator slack."""


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A figure with its uncertainty: fit is decided on `high`."""

    low: int
    """Lower end of the range."""
    likely: int
    """The most likely figure."""
    high: int
    """Upper end of the range."""


class PhaseMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Likely bytes on one GPU at the worst moment of one phase, by component."""

    phase: Phase
    """load, forward, backward, optimizer_step, evaluation, save or merge."""
    parts: dict[str, int]
    """Component -> bytes; they add up to the phase."""

    @property
    def total_bytes(self) -> int:
        """Sum of the parts."""
        return sum(self.parts.values())


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU at one instant of a step: tensors by component, without context and libraries."""

    label: str
    """Where in the step it is."""
    phase: Phase
    """The phase that it belongs to."""
    parts: dict[str, int]
    """Component -> bytes of tensors."""
    reserved_bytes: int
    """What the caching allocator holds by then, counted from the first step on."""

    @property
    def allocated_bytes(self) -> int:
        """Sum of the parts."""
        return sum(self.parts.values())


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Peak memory of one GPU (the fullest one), in three named counters."""

    phases: tuple[PhaseMemory, ...]
    """The worst moment of each phase."""
    peak_phase: Phase
    """The phase in which the peak falls."""
    allocated: Band
    """Tensor bytes, torch.cuda.max_memory_allocated()."""
    reserved: Band
    """Held by the caching allocator, torch.cuda.max_memory_reserved()."""
    device: Band
    """As nvidia-smi shows the process: reserved + context + libraries. Fit is decided on `device.high`."""
    host_bytes: int
    """Peak host RAM of all processes of one node (offload, loading, merging)."""
    stack: str
    """The libraries and kernels that it is predicted for."""
    assumptions: tuple[str, ...] = ()
    """What was assumed, as sentences."""
    not_modelled: tuple[str, ...] = ()
    """What is not in the figure, as sentences."""
    timeline: tuple[Instant, ...] = ()
    """One step, instant by instant."""
    known_by: dict[str, str] = {}
    """Component -> how its bytes are known: counted, derived, measured here, published or assumed, and from what."""
    calibrated_by: str | None = None
    """Which ledger entries corrected the figure, None when it is purely predicted."""

    @property
    def peak_parts(self) -> dict[str, int]:
        """Parts of the phase in which the peak falls; they sum to `device.likely`."""
        return next(phase.parts for phase in self.phases if phase.phase == self.peak_phase)


class TimeEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """How long the run takes. None fields: not enough is known (no dataset, unknown card)."""

    tokens_per_second: float
    """Over all GPUs, real tokens after packing or padding."""
    step_seconds: float
    """One optimizer step."""
    num_steps: int | None
    """Optimizer steps; null where the amount of data is not known."""
    total_seconds: float | None
    """The most likely duration of the run."""
    low_seconds: float | None
    """Lower end of the range."""
    high_seconds: float | None
    """Upper end of the range."""
    gpu_hours: float | None
    """Hours times GPUs."""
    basis: str
    """What the figure rests on, in words."""


class StorageItem(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of file that the run writes or needs."""

    name: str
    """What the file is."""
    num_bytes: int
    """Its size, one copy."""
    exact: bool
    """Whether the size is counted and not estimated."""
    kept: bool = True
    """False for space that is needed only during the run."""


class StorageEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Disk that a run needs."""

    items: tuple[StorageItem, ...]
    """Every kind of file."""
    artifact_bytes: int
    """One delivered result: the adapter, or the whole (merged) model."""
    checkpoint_bytes: int
    """One checkpoint, optimizer states included."""
    cache_bytes: int
    """Base weights in the hub cache (0 when they are local)."""
    peak_output_bytes: int
    """Largest moment in the output folder: kept checkpoints + the one being written + results."""
