"""Typed reads from a config.json, with the defaults of its family, all problems collected."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.model.limits import LIST_ENTRIES, SIZE, largest
from trainers.foreign.text import brief

_FLOAT = 1e30


class Family(msgspec.Struct, frozen=True):
    """What transformers knows of a model_type without its weights."""

    defaults: dict[str, Any] = {}
    aliases: dict[str, str] = {}
    """Standard key -> the family's own key (hidden_size -> n_embd)."""
    text: str | None = None
    """model_type of the language model inside a multimodal one."""


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """Which blocks of a family attend to a sliding window, where its config does not say it block by block."""

    full_every: int | None = None
    """Every n-th block attends to everything, the others to the window; None: all to the window."""
    on_request: bool = False
    """The window counts only where use_sliding_window says so."""
    from_block: bool = False
    """Blocks before max_window_layers attend to everything."""


@cache
def known_families() -> dict[str, msgspec.Raw]:
    """Every causal LM family of the tested transformers, still encoded; decode one with `family_of`."""
    content = Path(__file__).with_name("config_defaults.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, msgspec.Raw])


@cache
def family_of(model_type: str) -> Family:
    """Defaults and key aliases of a family; empty for one that transformers does not have."""
    raw = known_families().get(model_type)
    return Family() if raw is None else msgspec.json.decode(raw, type=Family)


class ConfigReader:
    """Reads one config. Missing keys fall back to the family's default; wrong ones are kept as problems.

    `check()` raises InputError with all of them; until then a wrong value reads as a harmless 1, so that
    reading continues and finds the rest.
    """

    def __init__(self, raw: Mapping[str, Any], model_type: str, where: str = "config.json") -> None:
        self.raw = raw
        self.model_type = model_type
        self.where = where
        self.windows: Windows | None = None
        """As the family states it (families/traits.py)."""
        family = family_of(model_type)
        self._defaults = family.defaults
        self._aliases = family.aliases
        self._problems: dict[str, Problem] = {}

    def get(self, *keys: str) -> Any:
        """The first of these keys that is set in the config, else in the family's defaults, else None.

        A key that the config sets to null is None: its class default does not come back.
        """
        names = [name for key in keys for name in (key, self._aliases.get(key)) if name]
        stated = [self.raw[name] for name in names if name in self.raw]
        source = stated or [self._defaults[name] for name in names if name in self._defaults]
        return next((value for value in source if value is not None), None)

    def has(self, key: str) -> bool:
        """Whether the config itself states the key with a value."""
        return self.raw.get(key) is not None

    def maybe(self, *keys: str) -> int | None:
        """A number >= 0, or None when it is stated nowhere."""
        value = self.get(*keys)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return self._wrong(keys[0], tr("{keys} is {brief}, not a whole number", keys=keys[0], brief=brief(value)))
        if not 0 <= value <= largest(keys[0]):
            limit = largest(keys[0])
            return self._wrong(
                keys[0],
                tr(
                    "{keys} is {brief}, out of range (at most {limit:,} in any model)",
                    keys=keys[0],
                    brief=brief(value),
                    limit=limit,
                ),
            )
        return value

    def size(self, *keys: str, default: int | None = None) -> int:
        """A size, at least 1. One that is stated nowhere and has no default is a problem."""
        value = self.maybe(*keys)
        if value is None:
            value = default
        if value is None:
            return self._wrong(keys[0], tr("{keys} is missing", keys=keys[0]))
        if value < 1:
            return self._wrong(keys[0], tr("{keys} is {value}, and has to be at least 1", keys=keys[0], value=value))
        return value

    def count(self, *keys: str, default: int = 0) -> int:
        """A number >= 0."""
        value = self.maybe(*keys)
        return default if value is None else value

    def flag(self, *keys: str, default: bool = False) -> bool:
        """A switch."""
        value = self.get(*keys)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._wrong(keys[0], tr("{keys} is {brief}, neither true nor false", keys=keys[0], brief=brief(value)))
            return default
        return value

    def number(self, *keys: str, default: float) -> float:
        """A real number."""
        value = self.get(*keys)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            return float(
                self._wrong(keys[0], tr("{keys} is {brief}, not a number", keys=keys[0], brief=brief(value)))
            )
        if not -_FLOAT <= value <= _FLOAT:
            return float(
                self._wrong(keys[0], tr("{keys} is {brief}, out of range", keys=keys[0], brief=brief(value)))
            )
        return float(value)

    def text(self, *keys: str, default: str = "") -> str:
        """A word."""
        value = self.get(*keys)
        if isinstance(value, str) and len(value) > LIST_ENTRIES:  # some families spell their blocks, a letter each
            self._wrong(
                keys[0], tr("{keys} is out of range: {num_value:,} letters", keys=keys[0], num_value=len(value))
            )
            return default
        return value if isinstance(value, str) else default

    def items(self, *keys: str) -> list[Any]:
        """A list; empty when it is stated nowhere."""
        value = self.get(*keys)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            self._wrong(keys[0], tr("{keys} is {brief}, not a list", keys=keys[0], brief=brief(value)))
            return []
        if len(value) > LIST_ENTRIES:
            self._wrong(
                keys[0],
                tr(
                    "{keys} holds {num_value:,} entries, and no model has that many blocks",
                    keys=keys[0],
                    num_value=len(value),
                ),
            )
            return []
        return list(value)

    def sizes(self, key: str, layers: int) -> list[int]:
        """A size for each block; a config that states one number means it for all."""
        stated = self.get(key)
        if not isinstance(stated, list | tuple):
            return [self.size(key)] * layers
        wanted = [value for value in stated[:layers] if type(value) is int and 1 <= value <= SIZE]
        if len(wanted) < layers:
            self._wrong(
                key,
                tr(
                    "{key} is {brief}, not a number of at least 1 for each of {layers} blocks",
                    key=key,
                    brief=brief(list(stated)),
                    layers=layers,
                ),
            )
            return [1] * layers
        return wanted

    def section(self, key: str) -> Mapping[str, Any]:
        """A table inside the config; empty when it is not there."""
        value = self.raw.get(key)
        return value if isinstance(value, Mapping) else {}

    def problem(self, key: str, what: str) -> None:
        """Records that the values of the config contradict each other."""
        self._wrong(key, what)

    def check(self) -> None:
        """Raises InputError with every problem found so far."""
        if self._problems:
            raise InputError(*self._problems.values())

    def _wrong(self, key: str, what: str) -> int:
        fix = tr("Use the config.json that came with the model, or choose the model by its catalogue name.")
        self._problems[key] = Problem(
            what=what, why=tr("The model's shape depends on it."), fix=fix, where=self.where
        )
        return 1
