"""A plan on pictures for another tool: its template for them, its rows, and where adapters go beside a frozen tower.

What each tool's documentation asks for: Axolotl reads pictures as parts of a turn, LLaMA-Factory and ms-swift as
`<image>` among the words with a column `images`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from trainers.errors import PlanRefused
from trainers.examples.example import Example, RowError
from trainers.examples.pictures import is_address
from trainers.examples.slots import SLOT, as_parts
from trainers.language import tr
from trainers.paths import find_local
from trainers.pictures.families import template_elsewhere
from trainers.pictures.opening import held_bytes, path_of
from trainers.plan import TrainingPlan

Form = Literal["marks", "parts"]
"""How a tool's rows show pictures: `<image>` among the words with a list of files, or parts of a turn."""
MARK = "<image>"
FOLDER = "images"
_ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"GIF8": ".gif", b"BM": ".bmp"}


def template(plan: TrainingPlan, exporter: str, title: str) -> str:
    """What the tool calls the template of the plan's model, "" where it chooses by itself.

    Raises PlanRefused where it cannot train the family on pictures, or where the family is not known.
    """
    config = _config(plan)
    tower = config.get("vision_config")
    kind = tower.get("model_type") if isinstance(tower, dict) else None
    found = template_elsewhere(config.get("model_type"), kind, exporter)
    if found is None:
        raise PlanRefused(
            tr("{title} has no way to train {name} on pictures", title=title, name=plan.model.name),
            why=tr(
                "its version that is exported to does not know the family, or learns questions along with answers"
            ),
            fix=tr("launch it here, or set reads_images = false to train on the words alone"),
        )
    return found


def language_model_alone(targets: tuple[str, ...]) -> str:
    """A regular expression for adapters in the language model: its names mean layers of the tower as well."""
    names = "[a-z_]*proj[a-z_]*" if targets in ((), ("all-linear",)) else "|".join(targets)
    return rf".*\.(language_model|text_model)\..*\.({names})"


class Rows:
    """Examples as a tool's rows, the pictures that the data itself holds as files in `folder`."""

    def __init__(self, form: Form, base: Path, folder: Path) -> None:
        self.form, self.base, self.folder = form, base, folder
        self._written = 0

    def row(self, example: Example) -> dict[str, Any]:
        """One row as plain data. Raises RowError for a picture that is an address or cannot be opened."""
        plain = example.as_dict()
        if "messages" not in plain:
            return plain
        files = [self._file(named) for named in example.images]
        told = iter(files)
        slotted = zip(plain["messages"], example.messages, strict=True)
        messages = [{**message, "content": self._content(raw["content"], told)} for message, raw in slotted]
        beside = {"images": files} if self.form == "marks" else {}
        kept = {name: value for name, value in plain.items() if name != "images"}
        return {**kept, "messages": messages, **beside}

    def _content(self, words: str, told: Any) -> str | list[dict[str, Any]]:
        if self.form == "marks":
            if MARK in words:
                raise RowError(tr("its words hold {mark}, which would stand for a picture", mark=MARK))
            return words.replace(SLOT, MARK)
        return [{**part, "path": next(told)} if part["type"] == "image" else part for part in as_parts(words)]

    def _file(self, named: str) -> str:
        if is_address(named):
            raise RowError(tr("the picture {named:.200} is an address", named=named))
        path = path_of(named, self.base)
        if path is not None:
            return str(path.absolute())
        content = held_bytes(named)
        ending = next((end for start, end in _ENDINGS.items() if content.startswith(start)), "")
        self._written += 1
        target = self.folder / FOLDER / f"{self._written:06}{ending}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return str(target.absolute())


def _config(plan: TrainingPlan) -> dict[str, Any]:
    """The config.json of the plan's model, from its folder or from the hub's cache."""
    path = _config_file(plan)
    if path is None:
        raise PlanRefused(
            tr("the config.json of {name} is not on this disk", name=plan.model.name),
            why=tr("another tool has to be told the template of the model's family for pictures"),
            fix=tr("fetch it: hf download {name} config.json", name=plan.model.name),
        )
    held = json.loads(path.read_bytes())
    return held if isinstance(held, dict) else {}


def _config_file(plan: TrainingPlan) -> Path | None:
    local = find_local(plan.model.name)
    if local is not None:
        return next((one for one in [local / "config.json"] if one.is_file()), None)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(plan.model.name, "config.json", revision=plan.model.revision)
    return Path(found) if isinstance(found, str) else None
