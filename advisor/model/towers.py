"""The parts of a multimodal model beside its language model, and how many parameters each holds.

`towers.json` is read off transformers' modules by `python -m tests.model.tower_forms`: for each family and each part
(`model.vision_tower`, `model.multi_modal_projector`) a polynomial in the sizes of the config.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from advisor.model.limits import PARAMETERS, SIZE
from advisor.model.spec import Tower

Value = int | float | bool | str | None
Term = tuple[float, dict[str, int]]


class Kinds(msgspec.Struct, frozen=True):
    """The parameters of one part."""

    linear: list[Term] = []
    """Weights of nn.Linear modules, which loading in 4 bits would quantise."""
    other: list[Term] = []

    @property
    def fields(self) -> set[str]:
        """The sizes that it depends on."""
        return {field for _, powers in (*self.linear, *self.other) for field in powers}


class Switch(msgspec.Struct, frozen=True):
    """What another value of a switch adds to the parts."""

    value: bool | str
    adds: dict[str, Kinds]


class Form(msgspec.Struct, frozen=True):
    """A family's parts."""

    parts: dict[str, Kinds]
    switches: dict[str, Switch] = {}
    defaults: dict[str, Value] = {}
    names: dict[str, str] = {}
    """Field -> the other key that a config.json may use for it."""
    optional: list[str] = []
    """Sections whose parts a model lacks that does not state them."""
    tied: tuple[bool, bool, bool, bool, bool, bool] | None = None
    """Whether head and embedding are one: for tie_word_embeddings of the whole model unset, true, false, and for each
    of these for that of its text part true, false."""


def has_towers(config: Mapping[str, Any]) -> bool:
    """Whether the config describes parts for images or sound."""
    return any(isinstance(config.get(key), Mapping) for key in ("vision_config", "audio_config"))


def is_tied(form: Form, whole: Any, text: Any, default: bool) -> bool:
    """Whether the output layer is the embedding, by the flags of the whole model and of its text part."""
    if form.tied is None:
        return whole if isinstance(whole, bool) else text if isinstance(text, bool) else default
    row = {True: 2, False: 4}[whole] if isinstance(whole, bool) else 0
    return form.tied[row + (0 if (text if isinstance(text, bool) else default) else 1)]


def towers_of(form: Form, config: Mapping[str, Any], hidden: int) -> tuple[Tower, ...] | None:
    """Every part beside the language model, whose hidden size is `hidden`; None where a size is of no use.

    Equal to `AutoModelForMultimodalLM.from_config(config)` without the parameters of its decoder and output layer.
    """
    read = Reader(config, form, hidden)
    absent = [f"{key}." for key in form.optional if not isinstance(config.get(key), Mapping)]
    lacking = {
        part
        for part, kinds in form.parts.items()
        if any(field.startswith(key) for key in absent for field in kinds.fields)
    }
    counts = {
        part: (_total(kinds.linear, read), _total(kinds.other, read))
        for part, kinds in form.parts.items()
        if part not in lacking
    }
    for field, switch in form.switches.items():
        if read.stated(field) == switch.value:
            for part, kinds in switch.adds.items():
                if part in lacking:
                    continue
                linear, other = counts.get(part, (0, 0))
                counts[part] = (linear + _total(kinds.linear, read), other + _total(kinds.other, read))
    if not read.complete:
        return None
    return tuple(
        Tower(path=part, params=linear + other, linear_params=linear)
        for part, (linear, other) in counts.items()
        if linear + other > 0
    )


class Reader:
    """The values of a config that the polynomials ask for; `complete` turns False where one cannot be used."""

    def __init__(self, config: Mapping[str, Any], form: Form, hidden: int) -> None:
        self.config = config
        self.form = form
        self.hidden = hidden
        self.complete = True

    def stated(self, field: str) -> Any:
        """The config's value, else the default of its class."""
        if field == "text_config.hidden_size":
            return self.hidden
        *path, key = field.split(".")
        section: Any = self.config
        for step in path:
            section = section.get(step) if isinstance(section, Mapping) else None
        if not isinstance(section, Mapping):
            return self.form.defaults.get(field)
        names = (key, self.form.names.get(field, key))
        return next((section[name] for name in names if name in section), self.form.defaults.get(field))

    def size(self, field: str) -> float:
        """The value as a number: the side of a square given as a pair, the length of another list."""
        value = self.stated(field)
        if isinstance(value, list):
            value = value[0] if len(value) == 2 and value[0] == value[1] else len(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= SIZE:
            self.complete = False
            return 1
        return value


def _total(terms: list[Term], read: Reader) -> int:
    total = 0.0
    for coefficient, powers in terms:
        product: float = coefficient
        below: float = 1
        for field, power in powers.items():
            if power > 0:
                product *= read.size(field) ** power
            else:
                below *= read.size(field) ** -power
        total += _patches(product, below, powers, read)
    if total != int(total) or total > PARAMETERS:
        read.complete = False
        return 0
    return int(total)


def _patches(product: float, below: float, powers: Mapping[str, int], read: Reader) -> float:
    """The quotient; a picture is cut into whole patches only."""
    pairs = [(up, down) for up in powers for down in powers if _is_grid(up, down) and powers[up] == -powers[down]]
    for up, down in pairs:
        side, patch = read.size(up), read.size(down)
        product *= ((side // patch) * patch / side) ** powers[up]
    return round(product / below, 6)


def _is_grid(up: str, down: str) -> bool:
    return up.endswith("image_size") and down.endswith("patch_size") and up[:-10] == down[:-10]


def form_of(config: Mapping[str, Any]) -> Form | None:
    """What is known of the family's parts; None where transformers has no such family, or no polynomial was found."""
    model_type, vision = config.get("model_type"), config.get("vision_config")
    kind = vision.get("model_type") if isinstance(vision, Mapping) else None
    for name in (f"{model_type}+{kind}", model_type):
        if isinstance(name, str) and name in forms():
            return msgspec.json.decode(forms()[name], type=Form)
    return None


@cache
def forms() -> dict[str, msgspec.Raw]:
    """Every row of towers.json, still encoded: a family, or a family and its kind of tower ("llava+pixtral")."""
    content = Path(__file__).with_name("towers.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, msgspec.Raw])
