"""What a checkpoint that reads images brings beside its tokenizer: its settings for pictures, and often its template.

Training on text needs no processor. Whoever serves the result does, so its files go where the tokenizer goes; and so
does a run on pictures, which loads it by `load_processor`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.language import tr
from trainers.pictures.families import FAMILIES, Look, family_of
from trainers.pictures.opening import require_pillow
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")


def copy_processor(plan: TrainingPlan, folder: Path) -> list[str]:
    """Put the base's processor files into `folder`, as they are; returns the names of those that it has."""
    found = {name: path for name in FILES if (path := _file(plan, name)) is not None}
    for name, path in found.items():
        shutil.copyfile(path, folder / name)
    return list(found)


def load_processor(plan: TrainingPlan, tokenizer: PreTrainedTokenizerBase) -> ProcessorMixin:
    """The processor of the plan's model, for pictures alone and within `max_pixels`, with `tokenizer` in it.

    Raises PlanRefused for a family whose pictures were not seen to train, EnvironmentLacking for a package that it
    needs, and what `from_pretrained` raises.
    """
    require_pillow()
    config = _config(plan)
    family = family_of(config.model_type, getattr(getattr(config, "vision_config", None), "model_type", None))
    if family is None:
        raise PlanRefused(
            tr("{name} is not trained on pictures here", name=plan.model.name),
            why=tr("families that were seen to learn from pictures are {names}", names=", ".join(sorted(FAMILIES))),
            fix=tr("set reads_images = false to train on the words alone, or take a model of one of these families"),
        )
    try:
        kind = _pictures_only(_class(plan), tokenizer)
        processor: ProcessorMixin = kind.from_pretrained(plan.model.name, **_revision(plan))
    except ImportError as error:
        raise _lacks(plan, error) from error
    if plan.max_pixels:
        _bound(processor.image_processor, Look(family, processor.image_processor.to_dict()), plan)
    return processor


def _lacks(plan: TrainingPlan, error: ImportError) -> EnvironmentLacking:
    """Which package a family's processor asks for."""
    for_tensors = "torchvision" in str(error).lower()
    return EnvironmentLacking(
        tr("the processor of {name} needs a package that is not installed", name=plan.model.name),
        why=str(error).strip().splitlines()[0],
        fix=tr("pip install torchvision, in the build that fits your torch")
        if for_tensors
        else tr("pip install 'sft-advisor[vision]'"),
    )


def _bound(image_processor: Any, look: Look, plan: TrainingPlan) -> None:
    """Keep its pictures within the plan's limit."""
    found = look.bound_to(plan.max_pixels or 0)
    if not found:
        raise PlanRefused(
            tr("{name} turns every picture into the same number of tokens", name=plan.model.name),
            why=tr("its processor scales all to one size"),
            fix=tr("leave max_pixels out"),
        )
    for name, value in found.items():
        kind = type(getattr(image_processor, name))
        setattr(image_processor, name, kind(**value) if isinstance(value, dict) else value)


def _revision(plan: TrainingPlan) -> dict[str, Any]:
    return {"revision": plan.model.revision} if plan.model.revision else {}


def _config(plan: TrainingPlan) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(plan.model.name, **_revision(plan))


def _class(plan: TrainingPlan) -> Any:
    """The class that the checkpoint's files name, else the one of its family."""
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING, processor_class_from_name

    for name in FILES[:2]:
        path = _file(plan, name)
        stated = json.loads(path.read_bytes()).get("processor_class") if path is not None else None
        if isinstance(stated, str) and (found := processor_class_from_name(stated)):
            return found
    return PROCESSOR_MAPPING[type(_config(plan))]


def _pictures_only(kind: Any, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The class around this tokenizer, without its parts for films and sound: no picture needs them, and those for
    films ask for torchvision."""
    from transformers import AutoImageProcessor

    class PicturesOnly(kind):
        @classmethod
        def _get_arguments_from_pretrained(cls, name: str, _: Any = None, **options: Any) -> list[Any]:
            image_processor = AutoImageProcessor.from_pretrained(name, **options)
            parts = {"image_processor": image_processor, "tokenizer": tokenizer}
            return [parts.get(part) for part in cls.get_attributes()]

        def check_argument_for_proper_class(self, name: str, part: Any) -> Any:
            return None if part is None else super().check_argument_for_proper_class(name, part)

    PicturesOnly.__name__ = kind.__name__
    return PicturesOnly


def template_of_processor(plan: TrainingPlan) -> str | None:
    """The chat template that lies beside the processor alone (chat_template.json); None where there is none."""
    path = _file(plan, "chat_template.json")
    held = json.loads(path.read_bytes()) if path is not None else None
    template = held.get("chat_template") if isinstance(held, dict) else None
    return template if isinstance(template, str) else None


def _file(plan: TrainingPlan, name: str) -> Path | None:
    from transformers.utils import cached_file

    if plan.model.gguf_file:
        return None
    found = cached_file(
        plan.model.name, name, revision=plan.model.revision, _raise_exceptions_for_missing_entries=False
    )
    return Path(found) if found else None
