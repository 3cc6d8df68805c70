"""Datasets: from whatever the user typed to a DatasetProfile, and to the verdict before a run.

Loaded when it is first used: advice without a dataset needs no reader of datasets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.data.examine import profile_dataset

__all__ = ["profile_dataset"]


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name != "profile_dataset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from advisor.data.examine import profile_dataset

    return profile_dataset
