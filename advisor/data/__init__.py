"""The data room: from whatever the user typed to a DatasetProfile."""

from __future__ import annotations

from advisor.data.examine import profile_dataset

__all__ = ["profile_dataset"]
