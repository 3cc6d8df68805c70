"""Training methods, one module each. This file stays free of torch: a method is imported when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from trainers.method import Method
    from trainers.methods.base import Backend


def backend(method: Method) -> Backend:
    """The module of this package that bears the method's name, imported when asked for."""
    return cast("Backend", import_module(f"{__name__}.{method}"))
