"""Machines that nobody has: profiles for the stand-in NVML library, and a way to probe them with the real pynvml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from advisor.probe.hardware import Hardware
from tests.waiting import PATIENCE_SECONDS

SOURCE = Path(__file__).with_name("stand_in_nvml.c")
REPOSITORY = Path(__file__).parents[2]
HANG, CRASH = 1001, 1002

_CHILD = """
import json, os, sys, tempfile, time
from pathlib import Path
from advisor.probe import hardware_to_json, probe
results = []
with tempfile.TemporaryDirectory() as folder:
    profile = Path(folder, "machine.txt")
    os.environ["STAND_IN_NVML"] = str(profile)
    for job in json.load(sys.stdin):
        profile.write_bytes(job["profile"].encode("utf-8", "surrogateescape"))
        start = time.perf_counter()
        hardware = probe(env=job["env"], root=Path(job["root"]), driver_limit_seconds=job["limit"])
        seconds = time.perf_counter() - start
        results.append({"seconds": seconds, "hardware": hardware_to_json(hardware, private=True).decode()})
json.dump(results, sys.stdout)
"""


def build(folder: Path, without: Iterable[str] = ()) -> Path:
    """Compile the stand-in into `folder`, hiding the symbols in `without` as an older driver would lack them."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "exports.map"
    hidden = "".join(f"{name}; " for name in without)
    script.write_text("{ global: *; local: " + hidden + "};" if hidden else "{ global: *; };")
    library = folder / "libnvidia-ml.so.1"
    command = ["cc", "-shared", "-fPIC", "-O1", f"-Wl,--version-script={script}", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder


def probe_machines(
    library: Path, profiles: Iterable[str], *, env: Mapping[str, str] | None = None, root: Path, limit: float = 5.0
) -> list[Hardware]:
    """Probe each profile in one child process whose loader finds the stand-in as it would find the driver."""
    return [hardware for hardware, _ in timed_probes(library, profiles, env=env, root=root, limit=limit)]


def timed_probes(
    library: Path, profiles: Iterable[str], *, env: Mapping[str, str] | None = None, root: Path, limit: float = 5.0
) -> list[tuple[Hardware, float]]:
    """The same, with the seconds that each probe took."""
    jobs = [{"profile": text, "env": dict(env or {}), "root": str(root), "limit": limit} for text in profiles]
    child = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "LD_LIBRARY_PATH": str(library), "PYTHONPATH": str(REPOSITORY)},
    )
    assert child.returncode == 0, child.stderr
    assert child.stderr == "", child.stderr
    results = json.loads(child.stdout)
    return [(msgspec.json.decode(result["hardware"], type=Hardware), result["seconds"]) for result in results]


def section(name: str, /, **values: object) -> str:
    """One section of a profile."""
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())


def system(driver: str = "580.95.05", cuda: int = 13000, link: str = "none") -> str:
    return section("system", driver=driver, cuda=cuda, link=link)


def gpu(name: str, total: int, cc: str, *, number: int = 0, reserved: int = 400, **more: object) -> str:
    uuid = f"GPU-{number:08x}-1111-2222-3333-444444444444"
    bus = f"00000000:{number + 1:02X}:00.0"
    return section("gpu", name=name, uuid=uuid, bus=bus, total=total, reserved=reserved, cc=cc, **more)


def fault(call: str, code: int, device: int | str = "any") -> str:
    return section("fault", call=call, device=device, code=code)


def process(pid: int, used: int, graphics: int = 0) -> str:
    return section("process", pid=pid, used=used, graphics=graphics)


def mig(slot: int, total: int, sms: int, profile: str, parent: str = "NVIDIA A100-SXM4-80GB", **more: object) -> str:
    uuid = f"MIG-{slot:08x}-aaaa-bbbb-cccc-dddddddddddd"
    return section(
        "mig",
        slot=slot,
        uuid=uuid,
        name=f"{parent} MIG {profile}",
        total=total,
        sms=sms,
        slices=int(profile[0]),
        memory_mb=total,
        gi=slot + 1,
        ci=0,
        **more,
    )


DATA_CENTRE = {
    "ecc": 1,
    "mig": 0,
    "display": 0,
    "virtual_mode": 0,
    "rows": 0,
    "power": 400_000,
    "default_power": 400_000,
}
DESKTOP = {"display": 1, "virtual_mode": 0, "power": 450_000, "default_power": 450_000}


def node(name: str, total: int, cc: str, count: int, *, link: str = "nvlink", **more: object) -> str:
    """One server with `count` equal data-centre cards."""
    cards = "".join(gpu(name, total, cc, number=number, **{**DATA_CENTRE, **more}) for number in range(count))
    return system(link=link) + cards


A100 = node("NVIDIA A100-SXM4-80GB", 81920, "8.0", 8, reserved=800)
H100 = node("NVIDIA H100 80GB HBM3", 81559, "9.0", 8, reserved=350)
B200 = node("NVIDIA B200", 183359, "10.0", 8, reserved=700)
GB200 = node("NVIDIA GB200", 189471, "10.0", 4, reserved=700)
L40S = node("NVIDIA L40S", 46068, "8.9", 2, link="none")
T4 = node("Tesla T4", 15360, "7.5", 1, reserved=449)
A10G = node("NVIDIA A10G", 23028, "8.6", 1, reserved=513)
DESKTOP_4090 = (
    system()
    + gpu("NVIDIA GeForce RTX 4090", 24564, "8.9", reserved=474, used=900, **DESKTOP)
    + process(1200, 900, graphics=1)
)
MIXED = (
    system()
    + gpu("NVIDIA GeForce RTX 3090", 24576, "8.6", number=0, virtual_mode=0)
    + gpu("NVIDIA GeForce RTX 5090", 32607, "12.0", number=1, virtual_mode=0)
)
PAIR_3090 = system() + "".join(gpu("NVIDIA GeForce RTX 3090", 24576, "8.6", number=number) for number in range(2))
LOST = PAIR_3090 + fault("any", 15, device=1)
EXCLUSIVE = system() + gpu("Tesla T4", 15360, "7.5", mode=3)
VIRTUAL = system() + gpu("NVIDIA A40-48Q", 49152, "8.6", virtual_mode=2, generation=-3, width=-3, max_width=-3)
MIG_A100 = (
    system()
    + gpu("NVIDIA A100-SXM4-80GB", -4, "8.0", mig=1, ecc=1)
    + mig(0, 40192, 42, "3g.40gb")
    + mig(2, 19968, 28, "2g.20gb")
    + mig(5, 9728, 14, "1g.10gb")
)
GB10 = system("580.173.02") + gpu("NVIDIA GB10", -3, "12.1")
OLD_DRIVER_LACKS = (
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
)


def one(library: Path, profile: str, root: Path, **more: object) -> Hardware:
    """The machine of this profile, as the probe sees it."""
    return probe_machines(library, [profile], root=root, **more)[0]  # type: ignore[arg-type]


def codes(hardware: Hardware) -> set[str]:
    """Codes of what was found on it."""
    return {finding.code for finding in hardware.findings}
