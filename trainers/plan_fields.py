"""What a field of the plan says about itself, beside its type: `Annotated[PositiveInt, about("batch", unit="rows")]`.

The report groups and hides settings by it, the commands make flags of it, a resume is held to it, and other tools are
told by it what they miss.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, get_args

import msgspec

Group = Literal["method", "batch", "optimiser", "memory", "devices", "cadence"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""In the order in which a report shows them."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """One field, as everyone who shows or reads plans has to know it."""

    group: Group | None
    """Where a report shows it; None: not among the settings."""
    unit: str | None = None
    """What a number counts; "" for a pure number, None for what is no quantity."""
    flag: bool = True
    """Whether a person may set it alone, as `--its-name`."""
    resume: Literal["kept", "free"] = "kept"
    """"kept" for what is learnt, which a resume may not change; "free" for how fast and where."""
    quiet: Literal["off", "default"] | None = None
    """When a report leaves it out: while it is off, or while it has its default; None: never."""
    export: str | None = None
    """For a tool whose table has no row for it: why it cannot be told, or OURS; None: each tool has a row."""


OURS = "ours"
"""`About.export` of what concerns only ourselves, or is carried out by the command that starts another tool."""


def about(
    group: Group | None,
    *,
    unit: str | None = None,
    flag: bool = True,
    resume: Literal["kept", "free"] = "kept",
    quiet: Literal["off", "default"] | None = None,
    export: str | None = None,
) -> msgspec.Meta:
    """The annotation of one field."""
    note = About(group=group, unit=unit, flag=flag, resume=resume, quiet=quiet, export=export)
    return msgspec.Meta(extra={"about": note})


@cache
def fields_about(record: type[msgspec.Struct]) -> dict[str, About]:
    """Field name -> what it says about itself, in the record's order. Raises TypeError where one says nothing."""
    by_name: dict[str, About] = {}
    for field in msgspec.structs.fields(record):
        notes = [meta.extra["about"] for meta in _metadata(field.type) if meta.extra and "about" in meta.extra]
        if len(notes) != 1:
            raise TypeError(f"{record.__name__}.{field.name} does not say about(...) itself, once")
        by_name[field.name] = notes[0]
    return by_name


def bare_type(field: msgspec.structs.FieldInfo) -> Any:
    """The type of a field without what it says about itself."""
    return getattr(field.type, "__origin__", field.type) if _metadata(field.type) else field.type


def _metadata(type_: Any) -> tuple[msgspec.Meta, ...]:
    return tuple(meta for meta in getattr(type_, "__metadata__", ()) if isinstance(meta, msgspec.Meta))
