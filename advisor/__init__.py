"""sft-advisor: decides how to fine-tune. No torch on this side.

    from advisor import advise, probe, estimate, check_data, launch

They live in advisor/commands/api.py. `probe` and `estimate` are also rooms of the house; this package lets them be
called, so that `from advisor import probe` means the same whether or not `advisor.probe.machine` was imported before.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from advisor.base.version import __version__

if TYPE_CHECKING:
    from advisor.commands.api import advise, check_data, estimate, explain, launch, models, probe, vet

__all__ = ["__version__", "advise", "check_data", "estimate", "explain", "launch", "models", "probe", "vet"]
_CALLED = ("estimate", "probe")
"""Rooms whose names are also those of functions."""


def __getattr__(name: str) -> Any:
    """Load a public function when it is first used (PEP 562)."""
    if name not in __all__ or name in _CALLED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("advisor.commands.api"), name)


class _Room(ModuleType):
    """A room that is also a function of the API: calling the module calls the function of its name."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return getattr(import_module("advisor.commands.api"), self.__name__.rpartition(".")[2])(*arguments, **named)


class _House(ModuleType):
    """This package. The import system hands it each room once the room is loaded."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLED:
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _House
