"""The balancing loss of routers, as TRL computes it, for families that count their experts under another name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def without_experts(config: Any) -> bool:
    """Whether a model of a family with experts has none, as the small Granite 4 have: it has no router to balance."""
    text = config.get_text_config()
    return 0 in (getattr(text, "num_experts", None), getattr(text, "num_local_experts", None))


@contextmanager
def experts_counted(config: Any) -> Iterator[None]:
    """While it lasts, `num_experts` of a mixture's configuration is there for TRL's loss to read.

    TRL 1.16 reads that name alone; configurations of Granite and others have `num_local_experts`, and training ended
    with an AttributeError. It is not left there, for a configuration is saved with what it has.
    """
    text = config.get_text_config()
    if hasattr(text, "num_experts") or not hasattr(text, "num_local_experts"):
        yield
        return
    text.num_experts = text.num_local_experts
    try:
        yield
    finally:
        del text.num_experts
