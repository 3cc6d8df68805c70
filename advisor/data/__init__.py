"""The data room: from whatever the user typed to a DatasetProfile, and to the verdict before a run."""

from __future__ import annotations

from advisor.data.examine import profile_dataset

__all__ = ["profile_dataset"]
