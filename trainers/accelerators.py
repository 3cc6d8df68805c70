"""What can compute: one row for each maker's GPUs, and the CPU. No torch here.

Probe, doctor, choice of wheels, descriptions of cards, facts, preflight and training read the rows. A maker whose
cards are read from sysfs has a module `advisor/probe/VENDOR.py` with `read(around)`.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Accelerator = Literal["cuda", "rocm", "xpu", "mps", "cpu"]
Vendor = Literal["nvidia", "amd", "intel", "apple"]
"""Makers, as the catalogue of cards names them."""


class AcceleratorTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of device is and is not."""

    vendor: Vendor | None
    """Who makes it; None: the CPU."""
    maker: str
    """The maker's name in a sentence."""
    platform: str = ""
    """What its kernels are written for, as people call it; "" for the CPU."""
    brands: tuple[str, ...] = ()
    """Words in front of a card's own name, in lower case."""
    architecture_begins: str = ""
    """How the architecture of its cards is called (`gfx942`, `xe2`); "" where it has a number of its own."""
    in_sysfs: bool = False
    """Whether its cards are found by reading files, by `advisor/probe/VENDOR.py`."""
    torch_device: str
    """What torch calls it."""
    build: str = ""
    """The folder of its wheels at download.pytorch.org; "" where driver and card decide (CUDA)."""
    build_begins: str
    """How builds of torch begin that compute on it."""
    four_bit: bool
    """Whether bitsandbytes 0.50 has 4-bit kernels for it."""
    pins_memory: bool = True
    """Whether batches are copied faster from page-locked memory."""
    keeps_segments: bool = True
    """Whether torch's allocator for it is CUDACachingAllocator or one by its rules."""


ACCELERATORS: dict[Accelerator, AcceleratorTraits] = {
    "cuda": AcceleratorTraits(
        vendor="nvidia",
        maker="NVIDIA",
        platform="CUDA",
        brands=("nvidia", "geforce", "tesla", "quadro", "grid"),
        torch_device="cuda",
        build_begins="cu",
        four_bit=True,
    ),
    "rocm": AcceleratorTraits(
        vendor="amd",
        maker="AMD",
        platform="ROCm",
        brands=("amd", "instinct"),
        architecture_begins="gfx",
        in_sysfs=True,
        torch_device="cuda",
        build="rocm7.2",
        build_begins="rocm",
        four_bit=True,
    ),
    "xpu": AcceleratorTraits(
        vendor="intel",
        maker="Intel",
        platform="XPU",
        brands=("intel",),
        architecture_begins="xe",
        in_sysfs=True,
        torch_device="xpu",
        build="xpu",
        build_begins="xpu",
        four_bit=True,
    ),
    "mps": AcceleratorTraits(
        vendor="apple",
        maker="Apple",
        platform="Metal",
        brands=("apple",),
        torch_device="mps",
        build="mps",
        build_begins="",
        four_bit=True,
        pins_memory=False,
        keeps_segments=False,
    ),
    "cpu": AcceleratorTraits(
        vendor=None,
        maker="CPU",
        torch_device="cpu",
        build="cpu",
        build_begins="cpu",
        four_bit=True,
        pins_memory=False,
        keeps_segments=False,
    ),
}
"""In the order in which a machine is searched."""

for _name in set(get_args(Accelerator)) ^ set(ACCELERATORS):
    raise TypeError(f"ACCELERATORS in trainers/accelerators.py has no row for {_name}, or Accelerator lacks its name")


def by_cuda_api(accelerator: Accelerator) -> bool:
    """Whether torch.cuda speaks for it: NVIDIA's cards and AMD's."""
    return ACCELERATORS[accelerator].torch_device == "cuda"
