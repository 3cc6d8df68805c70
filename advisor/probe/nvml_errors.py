"""What an answer of the NVIDIA driver means to a person: cause and remedy of every NVML return code."""

from __future__ import annotations

import msgspec

from advisor.base.language import later, tr

GARBLED = -1
"""The driver returned text that is not UTF-8."""
BINDING = -2
"""The installed Python module is not NVIDIA's, or too old for this call."""
HUNG = -3
"""The call did not return in time."""
CRASHED = -4
"""The library ended the process."""

NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, INSUFFICIENT_SIZE = 3, 4, 6, 7
UNINITIALIZED, INVALID_ARGUMENT, DRIVER_NOT_LOADED = 1, 2, 9
LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST = 12, 13, 15
LIB_RM_VERSION_MISMATCH, VERSION_MISMATCH = 18, 25

OLD_DRIVER_CODES = (FUNCTION_NOT_FOUND, INVALID_ARGUMENT, VERSION_MISMATCH, NOT_SUPPORTED)
"""Answers by which a driver says that it does not know this version of a call."""


class Meaning(msgspec.Struct, frozen=True):
    """A return code in words."""

    slug: str
    why: str
    fix: str


_REBOOT = later("Reboot the machine, or reload the driver: sudo rmmod nvidia_uvm nvidia && sudo modprobe nvidia")
_REINSTALL = later("Check that nvidia-smi works; if it does not, install the NVIDIA driver again.")
_POWER_CYCLE = later(
    "Take the card out of use and power-cycle the machine; sudo dmesg | grep -i xid shows the cause."
)
_UPDATE = later("Update the NVIDIA driver (R535 or newer answers everything that is asked here).")
_RESTART = later("Restart the container (a daemon reload takes its devices away); outside a container, reboot.")
_NOTHING = later("Nothing to do: the value stays unknown and is not guessed.")

MEANINGS: dict[int, Meaning] = {
    0: Meaning("success", later("the call succeeded"), _NOTHING),
    1: Meaning(
        "uninitialized", later("something shut the driver library down in between"), later("Run the command again.")
    ),
    2: Meaning(
        "invalid-argument", later("the driver does not know this argument, probably because it is old"), _UPDATE
    ),
    3: Meaning("not-supported", later("this card, platform or virtual GPU does not have the feature"), _NOTHING),
    4: Meaning(
        "no-permission",
        later("this user or container may not ask for it"),
        later("Give access to /dev/nvidia* (docker run --gpus all; in SLURM, --gpus), or ask the administrator."),
    ),
    5: Meaning("already-initialized", later("the library was initialised twice"), later("Run the command again.")),
    6: Meaning("not-found", later("the driver does not know the device"), later("Compare with nvidia-smi -L.")),
    7: Meaning("insufficient-size", later("the answer grew while it was read"), later("Run the command again.")),
    8: Meaning(
        "insufficient-power",
        later("a power cable of the card is not connected"),
        later("Connect the card's power cables."),
    ),
    9: Meaning(
        "driver-not-loaded",
        later("the driver library is installed, but its kernel module is not loaded"),
        later(
            "sudo modprobe nvidia; if that fails, install the driver for the running kernel "
            "(secure boot may block it)."
        ),
    ),
    10: Meaning("timeout", later("the driver gave up waiting for the card"), _POWER_CYCLE),
    11: Meaning("irq-issue", later("the card's interrupts do not arrive"), _REBOOT),
    12: Meaning(
        "library-not-found",
        later("libnvidia-ml.so.1, which comes with the NVIDIA driver, is not on the loader path"),
        later(
            "Install the NVIDIA driver; in a container add the utility capability "
            "(NVIDIA_DRIVER_CAPABILITIES=compute,utility); in WSL put /usr/lib/wsl/lib on "
            "LD_LIBRARY_PATH."
        ),
    ),
    13: Meaning("function-not-found", later("the driver is older than this call"), _UPDATE),
    14: Meaning(
        "corrupted-inforom",
        later("the card's own configuration memory is damaged; it still computes"),
        later("Reset the card (nvidia-smi --gpu-reset); if it stays, have it replaced."),
    ),
    15: Meaning("gpu-lost", later("the card fell off the bus or stopped answering"), _POWER_CYCLE),
    16: Meaning(
        "reset-required",
        later("the card waits for a reset"),
        later("sudo nvidia-smi --gpu-reset -i INDEX, or reboot."),
    ),
    17: Meaning("blocked-by-system", later("the operating system blocks the driver"), _REINSTALL),
    18: Meaning(
        "version-mismatch",
        later("the driver was upgraded, but the old kernel module is still loaded; CUDA fails in the same way"),
        _REBOOT,
    ),
    19: Meaning(
        "in-use", later("another program holds the device for itself"), later("End that program, then run again.")
    ),
    20: Meaning(
        "out-of-memory", later("the driver found no system memory"), later("Free system memory, then run again.")
    ),
    21: Meaning("no-data", later("the driver has no value yet"), _NOTHING),
    22: Meaning("vgpu-ecc", later("a virtual GPU does not support this with ECC"), _NOTHING),
    23: Meaning(
        "no-resources", later("the driver is out of resources"), later("End other GPU programs, then run again.")
    ),
    24: Meaning("frequency-not-supported", later("the card does not offer this"), _NOTHING),
    25: Meaning("argument-version", later("the driver knows another version of this call"), _UPDATE),
    26: Meaning(
        "deprecated",
        later("the driver no longer has this call"),
        later("Update nvidia-ml-py: pip install -U nvidia-ml-py"),
    ),
    27: Meaning("not-ready", later("the driver is still starting"), later("Run the command again in a few seconds.")),
    28: Meaning(
        "gpu-not-found",
        later("no such GPU answers"),
        later("Compare with nvidia-smi -L; reboot when a card is missing."),
    ),
    29: Meaning("invalid-state", later("the card is in a state that does not allow this"), _REBOOT),
    30: Meaning("reset-not-supported", later("the card cannot be reset this way"), later("Reboot the machine.")),
    999: Meaning("unknown", later("the driver lost the device, or the hardware is broken"), _RESTART),
    GARBLED: Meaning("garbled-text", later("the driver returned text that cannot be read"), _REINSTALL),
    BINDING: Meaning(
        "wrong-pynvml",
        later("the module `pynvml` is not NVIDIA's current one"),
        "pip uninstall -y pynvml nvidia-ml-py3; pip install -U nvidia-ml-py",
    ),
    HUNG: Meaning("hung", later("the driver did not answer in time; the card or its driver hangs"), _POWER_CYCLE),
    CRASHED: Meaning("crashed", later("the driver library ended the process that asked"), _REINSTALL),
}


def meaning(code: int) -> Meaning:
    """The meaning of a return code; newer drivers may send codes that are unknown here."""
    unknown = Meaning(f"code-{code}", later("a code that this version does not know"), _REINSTALL)
    known = MEANINGS.get(code, unknown)
    return Meaning(known.slug, tr(known.why), tr(known.fix))
