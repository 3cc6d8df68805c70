"""The shape of a model of which no table is kept, read off transformers' own modules.

    python -m trainers.methods.shape FOLDER      prints it as JSON

Built on the meta device from config.json alone; program code of the folder is never run.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import torch

from trainers.foreign import lock
from trainers.foreign.limits import data_bytes
from trainers.methods.towers import skeleton, towers

MEMORY_BYTES = 1536 << 20
"""Beyond what its imports hold. A model of a trillion parameters, without them, takes a fifth: a config of a million
blocks ends here."""
WORK_SECONDS = 15
_ROLES = (
    ("shared_expert", re.compile(r"shared")),
    ("expert", re.compile(r"expert")),
    ("mixer", re.compile(r"mamba|mixer|linear_attn|ssm|conv|recurrent|rglru")),
    ("attention", re.compile(r"attn|attention")),
)


def shape_of(model: Any) -> dict[str, Any]:
    """Blocks, embedding, head and the rest, as `advisor.model.derived` reads them; every parameter once."""
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    blocks = max((one for one in decoder.modules() if isinstance(one, torch.nn.ModuleList)), key=len)
    seen: set[int] = set()
    layers = [_block(block, seen) for block in blocks]
    embedding = _numel(model.get_input_embeddings(), seen)
    head_params = _numel(head, seen) if head is not None else 0
    parts = {name: _numel(model.get_submodule(name), seen) for name in towers(model)}
    return {
        "layers": layers,
        "embedding_params": embedding,
        "head_params": head_params,
        "towers": {name: size for name, size in parts.items() if size},
        "other_params": _numel(model, seen),
        "params": sum(parameter.numel() for parameter in model.parameters()),
    }


def _block(block: Any, seen: set[int]) -> dict[str, Any]:
    linears, norm, other = [], 0, 0
    for path, module in block.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            name = f"{path}.{key}"
            if isinstance(module, torch.nn.Linear) and key == "weight":
                leaf = path.rpartition(".")[2]
                linears.append(_linear(leaf, _role(name), *reversed(parameter.shape), fused=False))
            elif parameter.ndim == 3 and "expert" in name:
                copies, out, inner = parameter.shape
                linears.append(_linear(key, "expert", inner, out, copies=copies, fused=True))
            elif "norm" in type(module).__name__.lower():
                norm += parameter.numel()
            else:
                other += parameter.numel()
    return {"linears": linears, "norm_params": norm, "other_params": other}


def _linear(name: str, role: str, inputs: int, outputs: int, *, fused: bool, copies: int = 1) -> dict[str, Any]:
    sizes = {"in_features": inputs, "out_features": outputs, "copies": copies}
    return {"name": name, "role": role, "fused": fused, **sizes}


def _role(name: str) -> str:
    return next((role for role, pattern in _ROLES if pattern.search(name)), "mlp")


def _numel(module: Any, seen: set[int]) -> int:
    total = 0
    for parameter in module.parameters():
        if id(parameter) not in seen:
            seen.add(id(parameter))
            total += parameter.numel()
    return total


def main(folder: str) -> int:
    """Print the shape of the model that the folder's config.json describes."""
    from transformers import AutoConfig, AutoModelForCausalLM, __version__  # noqa: F401  imported before the lock

    _lock_down()
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    print(json.dumps({**shape_of(skeleton(config)), "transformers": __version__}))
    return 0


def _lock_down() -> None:
    """A stranger's config: no network, nothing written, no more work and memory than a real model needs."""
    import resource  # not on every system

    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {
        resource.RLIMIT_CPU: WORK_SECONDS + int(used.ru_utime + used.ru_stime),
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    if (held := data_bytes()) is not None:
        limits[resource.RLIMIT_DATA] = held + MEMORY_BYTES
    lock.give_up(lock.READER, reads=["/"], limits=limits)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
