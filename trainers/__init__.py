"""Trainers: everything that touches torch, always in a process of its own.

This file stays free of torch, because the advisor imports `trainers.plan`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from trainers.base import Backend
    from trainers.plan import Method

BACKENDS: dict[str, str] = {
    "full": "trainers.full",
    "lora": "trainers.lora",
    "qlora": "trainers.qlora",
    "prefix": "trainers.prefix",
    "adapter": "trainers.adapter",
}
"""Method -> the module that carries it out. Adding a method is one module and one line here."""


def backend(method: Method) -> Backend:
    """The module that trains this method, imported when asked for."""
    return cast("Backend", import_module(BACKENDS[method]))
