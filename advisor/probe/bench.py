"""How fast this device is, measured in about 20 seconds: matrix product, copy, and the link from the host.

    measured = measure()                 # runs torch in a child process
    keep(measured)                       # later probes of this machine then know its rates
    with_kept_rates(hardware)            # what the probe puts beside devices that no catalogue knows

Rates are of one device. A card that the catalogue knows keeps the catalogue's figures, to which the time model was
fitted; the CPU has none there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import msgspec

from advisor.probe.doctor_children import run_child
from advisor.probe.hardware import Hardware, Rates
from trainers.folders import data_folder
from trainers.foreign.files import LOG_BYTES, read_small_file
from trainers.writing import write_atomically

FILE_NAME = "bench.json"
LIMIT_SECONDS = 120.0
"""Import of torch on a cold disk included."""
SECONDS_EACH = 5.0
"""For each of the three measurements; the fastest of its repeats counts, so that a busy moment does not."""

_SCRIPT = """
import time
import torch
where = device()
on_cpu = where == "cpu"
module = getattr(torch, where, None)
def finish():
    if not on_cpu:
        module.synchronize()
def fastest(work):
    work(); finish()
    best, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        start = time.perf_counter()
        work(); finish()
        best = min(best, time.perf_counter() - start)
    return best
old = where == "cuda" and torch.cuda.get_device_capability() < (8, 0)
dtype = torch.float32 if on_cpu else torch.float16 if old else torch.bfloat16
side = 1024 if on_cpu else 8192
left, right = (torch.randn(side, side, device=where, dtype=dtype) for _ in range(2))
result = torch.empty_like(left)
product = fastest(lambda: torch.mm(left, right, out=result))
size = (64 if on_cpu else 512) * 2**20
source, target = (torch.empty(size, dtype=torch.uint8, device=where) for _ in range(2))
copied = fastest(lambda: target.copy_(source))
sent = None
if where == "cuda":
    pinned = torch.empty(size, dtype=torch.uint8, pin_memory=True)
    sent = fastest(lambda: target.copy_(pinned, non_blocking=True))
tell(device=where, name=None if on_cpu or not hasattr(module, "get_device_name") else module.get_device_name(0),
     dtype=str(dtype).removeprefix("torch."), threads=torch.get_num_threads() if on_cpu else None,
     matrix_flops=2 * side**3 / product, copy_bytes=2 * size / copied, link_bytes=size / sent if sent else None)
"""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the measurement, or why there is none."""

    device: str | None = None
    """The card as torch names it; None for the CPU."""
    rates: Rates | None = None
    error: str = ""


def measure(env: Mapping[str, str] | None = None, *, seconds_each: float = SECONDS_EACH) -> Measured:
    """Run the three measurements in a child process, on the first GPU or else on the CPU. Never raises."""
    answer = run_child(_SCRIPT.replace("SECONDS", repr(seconds_each)), env, LIMIT_SECONDS)
    if not answer.ok:
        return Measured(error=answer.error)
    told = answer.values
    link = told.get("link_bytes")
    rates = Rates(
        dtype=told["dtype"],
        matrix_tflops=told["matrix_flops"] / 1e12,
        copy_gbs=told["copy_bytes"] / 1e9,
        link_gbs=None if link is None else link / 1e9,
        threads=told.get("threads"),
    )
    return Measured(device=told.get("name"), rates=rates)


def keep(name: str, rates: Rates) -> None:
    """Keep the rates of a device for later probes of this user. Raises OSError when the file cannot be written."""
    folder = data_folder()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FILE_NAME, msgspec.json.encode(kept() | {name: rates}))


def kept() -> dict[str, Rates]:
    """Device name -> its rates; {} where nothing was measured or the file cannot be read."""
    with contextlib.suppress(OSError, RuntimeError, UnicodeDecodeError, RecursionError, msgspec.MsgspecError):
        content = read_small_file(data_folder() / FILE_NAME, LOG_BYTES)
        return msgspec.json.decode(content, type=dict[str, Rates])
    return {}


def with_kept_rates(hardware: Hardware) -> Hardware:
    """The machine, with the rates that were measured of its CPU and of GPUs that the catalogue does not know."""
    rates = kept()
    if not rates:
        return hardware
    gpus = tuple(
        gpu if gpu.catalogue_name else msgspec.structs.replace(gpu, measured=rates.get(gpu.name))
        for gpu in hardware.gpus
    )
    host = msgspec.structs.replace(hardware.host, measured=rates.get(hardware.host.cpu_name or ""))
    return msgspec.structs.replace(hardware, gpus=gpus, host=host)
