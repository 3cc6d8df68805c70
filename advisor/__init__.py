"""sft-advisor: decides how to fine-tune. No torch on this side.

    from advisor import advise, probe, estimate, check_data, launch

They live in advisor/api.py. `probe` and `estimate` are also rooms of the house; a room can be called, so that
`from advisor import probe` means the same whether or not `advisor.probe.machine` was imported before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from advisor.version import __version__

if TYPE_CHECKING:
    from advisor.api import advise, check_data, estimate, explain, launch, models, probe, vet

__all__ = ["__version__", "advise", "check_data", "estimate", "explain", "launch", "models", "probe", "vet"]


def __getattr__(name: str) -> Any:
    """Load a public function when it is first used (PEP 562)."""
    if name not in ("advise", "check_data", "explain", "launch", "models", "vet"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("advisor.api"), name)
