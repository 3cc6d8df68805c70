"""torch, driver and bitsandbytes against each other: the first thing that a preflight does.

    python -m trainers.training.environment '{"accelerator": "cuda", ...}'

As a command it prints one JSON object a line (name, passed, said). A library that does not fit the driver may end the
process or hang in it: `run.json` names the phase then, and the supervisor tells what that means.
"""

from __future__ import annotations

import faulthandler
import json
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from trainers.accelerators import by_cuda_api
from trainers.errors import EnvironmentLacking
from trainers.foreign.text import whole_number
from trainers.language import tr
from trainers.plan import TrainingPlan
from trainers.run_folder.record import RunRecord
from trainers.supervision.checks import Check
from trainers.supervision.preflight import ENVIRONMENT_SECONDS
from trainers.training.placement import rank

Finding = tuple[str, bool | None, str]


def look(plan: TrainingPlan, record: RunRecord) -> list[Check]:
    """What this plan needs, checked in this process; `environment` of run.json. One process of a node is enough.

    Raises EnvironmentLacking for what the plan cannot do without. Ends the process when torch does not answer.
    """
    if rank() != 0:
        return []
    wanted = {
        "accelerator": plan.accelerator,
        "bf16": "bf16" in (plan.compute_dtype, plan.weights_dtype),
        "bitsandbytes": plan.needs_bitsandbytes,
        "processes": plan.num_gpus // plan.num_nodes,
    }
    with record.phase("environment"):
        faulthandler.dump_traceback_later(ENVIRONMENT_SECONDS, exit=True)
        try:
            found = [Check(name=name, passed=passed, said=said) for name, passed, said in findings(wanted)]
        finally:
            faulthandler.cancel_dump_traceback_later()
        record.update(environment=msgspec.to_builtins(found))
        if lacking := [check.said for check in found if check.passed is False]:
            raise EnvironmentLacking("; ".join(lacking), fix="sft-advisor doctor")
    return found


def findings(wanted: dict[str, Any]) -> Iterator[Finding]:
    """Each check as name, passed (None: a warning) and a sentence."""
    import torch

    yield "torch", True, f"torch {torch.__version__}"
    if by_cuda_api(wanted["accelerator"]):
        yield from _gpu(torch, wanted)
    elif torch.cuda.is_available():
        yield "idle_gpu", None, f"{torch.cuda.device_count()} GPU is there, and the plan trains on the CPU"
    if wanted["bitsandbytes"]:
        yield _bitsandbytes(torch, "cuda" if by_cuda_api(wanted["accelerator"]) else "cpu")


def _gpu(torch: Any, wanted: dict[str, Any]) -> Iterator[Finding]:
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        why = (
            tr("built for {built}, which this driver does not support", built=built)
            if built
            else tr("a build for CPUs")
        )
        yield (
            "gpu",
            False,
            f"torch sees no GPU: it is {why}; install the build named on https://pytorch.org/get-started",
        )
        return
    seen = torch.cuda.device_count()
    enough = seen >= wanted["processes"]
    yield "gpu", enough, f"{seen} GPU visible to torch, the plan uses {wanted['processes']} on this node"
    major, minor = torch.cuda.get_device_capability(0)
    known = {whole_number(one.partition("_")[2].rstrip("af")) for one in torch.cuda.get_arch_list()}
    if known and not any(code is not None and code // 10 == major for code in known):
        yield "architecture", False, f"this torch has no kernels for compute capability {major}.{minor}"
    if wanted["bf16"]:
        native = major >= 8 or bool(torch.version.hip)
        yield (
            "bf16",
            native,
            f"bf16 is {'native' if native else 'emulated and slow: use fp16 with fp32 weights'} here",
        )
    torch.ones(64, 64, device="cuda").matmul(torch.ones(64, 64, device="cuda")).sum().item()
    yield "matmul", True, "a matrix product ran on the GPU"


def _bitsandbytes(torch: Any, device: str) -> Finding:
    """A 4-bit product, on the device where it is needed."""
    try:
        import bitsandbytes
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    except (ImportError, OSError, RuntimeError) as error:
        return "bitsandbytes", False, f"bitsandbytes cannot be imported: {error}; pip install -U bitsandbytes"
    weight = torch.randn(64, 64, device=device)
    try:
        packed, state = quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
        off_by = (dequantize_4bit(packed, state) - weight).abs().max().item()
    except (RuntimeError, NotImplementedError, AttributeError) as problem:
        said = tr(
            "bitsandbytes {version} cannot pack on {device}: {problem}; reinstall it for this CUDA",
            version=bitsandbytes.__version__,
            device=device,
            problem=problem,
        )
        return "bitsandbytes", False, said
    return "bitsandbytes", off_by < 1.0, f"bitsandbytes {bitsandbytes.__version__} packs and unpacks 4-bit weights"


def main(arguments: list[str]) -> int:
    """Print the findings for the wishes given as JSON; 0 when it got to the end."""
    for name, passed, said in findings(json.loads(arguments[0])):
        print(json.dumps({"name": name, "passed": passed, "said": said}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
