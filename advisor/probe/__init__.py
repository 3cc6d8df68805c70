"""The probe: what this machine (or a saved, or a described one) is. Nothing here imports torch.

probe()                          the machine this process runs on
hardware_from_text("RTX 4090")   a saved profile or a machine in words
lookup("Tesla T4")               a card of the catalogue
installed_software()             versions of the training packages

Each name is loaded when it is first used: a described machine needs none of the driver code.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.probe.catalogue import Card, cards, lookup
    from advisor.probe.describe import hardware_from_text
    from advisor.probe.machine import probe
    from advisor.probe.profile import (
        hardware_to_json,
        load_profile,
        merge_profiles,
        save_profile,
        without_private,
    )
    from advisor.probe.software import Software, installed_software

_HOME = {
    "Card": "catalogue",
    "cards": "catalogue",
    "lookup": "catalogue",
    "hardware_from_text": "describe",
    "probe": "machine",
    "hardware_to_json": "profile",
    "load_profile": "profile",
    "merge_profiles": "profile",
    "save_profile": "profile",
    "without_private": "profile",
    "Software": "software",
    "installed_software": "software",
}

__all__ = [
    "Card",
    "Software",
    "cards",
    "hardware_from_text",
    "hardware_to_json",
    "installed_software",
    "load_profile",
    "lookup",
    "merge_profiles",
    "probe",
    "save_profile",
    "without_private",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
