"""The training methods: their names, and what everyone who reads a plan has to know about each. No torch here.

A method is a row of METHODS and the module `trainers/methods/NAME.py`, which carries it out.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from trainers.plan_parts import Dtype, Quantization

Method = Literal["full", "lora", "qlora", "prefix", "adapter"]

_BASE = ("torch", "transformers", "trl", "accelerate", "datasets")
_FROZEN: frozenset[Dtype] = frozenset(("fp32", "bf16", "fp16"))
"""Of a base that does not train."""


class MethodTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What a method is and is not, beside its code."""

    title: str
    """What it is called in a sentence."""
    gist: str
    """What trains, in a few words: the choice of a question."""
    packages: tuple[str, ...]
    """What its module imports."""
    dtypes: frozenset[Dtype]
    """What its unquantised weights were held in when its first steps ran; fp16 weights do not train (rule PRE-11)."""
    needs: tuple[str, ...] = ()
    """Plan fields that cannot be empty."""
    quantization: Quantization = "none"
    """How it holds the frozen base."""
    next_in_need: Method | None = None
    """The method that needs less memory, tried when nothing else is left."""
    is_lora: bool = False
    """Trains the low-rank matrices that every engine and tool knows as a LoRA adapter."""
    on_request: bool = False
    """Judged only when the user asks for it."""
    recomputes: bool = True
    """Whether it works with gradient checkpointing."""
    read_by_peft: bool = True
    """Whether peft loads what is saved; otherwise only `attach` of the method's module does."""
    unmergeable: str = ""
    """Why there is nothing to merge into the base; empty where there is."""


METHODS: dict[Method, MethodTraits] = {
    "lora": MethodTraits(
        title="LoRA",
        gist="low-rank adapters on a 16-bit base",
        packages=(*_BASE, "peft"),
        dtypes=_FROZEN,
        needs=("lora_rank", "lora_alpha", "lora_targets"),
        next_in_need="qlora",
        is_lora=True,
    ),
    "qlora": MethodTraits(
        title="QLoRA",
        gist="low-rank adapters on a 4-bit base",
        packages=(*_BASE, "peft", "bitsandbytes"),
        dtypes=_FROZEN,
        needs=("lora_rank", "lora_alpha", "lora_targets"),
        quantization="nf4",
        is_lora=True,
    ),
    "full": MethodTraits(
        title="full fine-tuning",
        gist="every weight is trained",
        packages=_BASE,
        dtypes=frozenset(("fp32", "bf16")),
        next_in_need="lora",
        unmergeable="a full run's result is already a whole model",
    ),
    "prefix": MethodTraits(
        title="prefix tuning",
        gist="trained key and value prefixes",
        packages=(*_BASE, "peft"),
        dtypes=_FROZEN,
        needs=("num_virtual_tokens",),
        next_in_need="qlora",
        on_request=True,
        recomputes=False,
        unmergeable="prefix tuning adds key and value vectors in front of the text, not to any weight",
    ),
    "adapter": MethodTraits(
        title="bottleneck adapters",
        gist="small bottleneck layers",
        packages=_BASE,
        dtypes=_FROZEN,
        needs=("adapter_bottleneck",),
        next_in_need="qlora",
        on_request=True,
        read_by_peft=False,
        unmergeable="a bottleneck adapter has a nonlinear layer of its own, which no weight matrix can hold",
    ),
}
"""In the order in which ties are broken: the cheapest of equal quality first."""

for _method in set(get_args(Method)) ^ set(METHODS):
    raise TypeError(f"METHODS in trainers/method.py has no row for {_method}, or Method there lacks its name")


def quantized_methods() -> tuple[Method, ...]:
    """The methods that hold the frozen base in fewer bits than it was published in."""
    return tuple(name for name, method in METHODS.items() if method.quantization != "none")
