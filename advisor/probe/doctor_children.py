"""The questions that `doctor` puts to child processes: each imports what it tests and prints one JSON line.

A child may hang, crash or print anything; the advisor carries on. Nothing here is imported by a child.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from advisor.base.language import tr
from trainers.accelerators import ACCELERATORS
from trainers.python import child_environment, code_command

CHILD_LIMIT_SECONDS = 180.0
_MARK = "sft-advisor-doctor:"
_DEVICES = tuple(dict.fromkeys(row.torch_device for row in ACCELERATORS.values() if row.vendor))

_COMMON = """
import json, sys, warnings
warnings.simplefilter("ignore")
def tell(**values):
    print("\\n" + MARK + json.dumps(values, default=str), flush=True)
def device():
    import torch
    for kind in DEVICES:
        module = torch.backends.mps if kind == "mps" else getattr(torch, kind, None)
        if module is not None and module.is_available():
            return kind
    return "cpu"
""".replace("MARK", repr(_MARK)).replace("DEVICES", repr(_DEVICES))

SCRIPTS: dict[str, str] = {
    # a matrix product on the device, so that a missing kernel image shows here and not in an hour
    "torch": """
import torch
where = device()
capability = torch.cuda.get_device_capability() if where == "cuda" else None
dtype = torch.float16 if where == "cuda" and capability < (8, 0) else torch.bfloat16
left = torch.randn(64, 64, device=where, dtype=dtype)
product = (left @ left.t()).float().cpu()
tell(hip=torch.version.hip, device=where, finite=bool(product.isfinite().all()))
""",
    # the product that QLoRA rests on, forward and backward, compared with the unquantised one
    "bitsandbytes": """
import torch
import bitsandbytes as bnb
where = device()
old = where == "cuda" and torch.cuda.get_device_capability() < (8, 0)
dtype = torch.float16 if old else torch.bfloat16
torch.manual_seed(0)
weight = torch.randn(128, 256) * 0.05
layer = bnb.nn.Linear4bit(256, 128, bias=False, compute_dtype=dtype, quant_type="nf4")
layer.weight = bnb.nn.Params4bit(weight.to(dtype), requires_grad=False, quant_type="nf4")
layer = layer.to(where)
given = torch.randn(8, 256, dtype=dtype, device=where, requires_grad=True)
result = layer(given)
result.float().pow(2).sum().backward()
exact = given.detach().float().cpu() @ weight.t()
error = float((result.detach().float().cpu() - exact).norm() / exact.norm())
product = (given.detach() @ given.detach().t()).isfinite().all()
tell(hip=torch.version.hip, device=where, finite=bool(product), error=error,
     gradient=bool(given.grad.isfinite().all()))
""",
    "trainers": """
import transformers, peft, trl, accelerate, datasets
from trl import SFTConfig, SFTTrainer
from peft import LoraConfig, PrefixTuningConfig
tell(transformers=transformers.__version__, peft=peft.__version__, trl=trl.__version__)
""",
    "flash_attn": """
import torch, flash_attn
from flash_attn import flash_attn_func
if torch.cuda.is_available():
    states = torch.randn(1, 16, 2, 64, device="cuda", dtype=torch.bfloat16)
    assert bool(flash_attn_func(states, states, states, causal=True).isfinite().all())
tell(version=flash_attn.__version__)
""",
    "liger": """
import liger_kernel
from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
tell(loaded=True)
""",
}
"""Name of the question -> its program. Each ends with `tell(...)`; what it raises becomes the answer."""

TOLERATED_ERROR = 0.2
"""Relative error of a 4-bit product; NF4 of normal weights gives about 0.1."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a child: its values, or why there are none."""

    values: Mapping[str, Any] = {}
    error: str = ""
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether the program ran to its end."""
        return not self.error


def ask(names: tuple[str, ...], env: Mapping[str, str] | None = None) -> dict[str, Answer]:
    """Run the named questions side by side, as many at a time as there are cores (at most 4)."""
    with ThreadPoolExecutor(max_workers=max(1, min(4, os.cpu_count() or 1))) as pool:
        return dict(zip(names, pool.map(lambda name: run_child(SCRIPTS[name], env), names), strict=True))


def run_child(
    script: str, env: Mapping[str, str] | None = None, limit_seconds: float = CHILD_LIMIT_SECONDS
) -> Answer:
    """Run one program in a fresh interpreter and read its line."""
    base = os.environ if env is None else env
    try:
        child = subprocess.run(
            code_command(_COMMON + script),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_seconds,
            check=False,
            env=child_environment(base),
        )
    except subprocess.TimeoutExpired:
        return Answer(error=tr("no answer within {limit_seconds:.0f} s", limit_seconds=limit_seconds), timed_out=True)
    except OSError as error:
        return Answer(error=str(error))
    for line in reversed(child.stdout.splitlines()):
        if line.startswith(_MARK) and child.returncode == 0:
            values = json.loads(line.removeprefix(_MARK))
            return Answer(values=values)
    return Answer(error=_last_words(child))


def _last_words(child: subprocess.CompletedProcess[str]) -> str:
    if child.returncode < 0:
        return tr("the process was ended by signal {value}", value=-child.returncode)
    lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else tr("the process ended with code {returncode}", returncode=child.returncode)
