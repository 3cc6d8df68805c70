"""What a model that reads images makes of the pictures of an example: tokens among its words, pixels for its tower.

    sight = Sight(load_processor(plan, tokenizer))
    sight.mark                       what the chat template writes where a picture stands
    sight.expanded(rendered, named)  the text with as many of the family's tokens there as the picture becomes
    sight.inputs(rows)               what the tower reads of a batch

The processor is transformers' own, so that the tokens and pixels are those of a server. How many tokens a picture
becomes depends on its size alone, which its file says before it is unpacked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import PlanRefused, RunError
from trainers.examples.example import RowError
from trainers.examples.spans import Rendered
from trainers.language import tr
from trainers.pictures.expanding import expanded
from trainers.pictures.opening import Size, opened, shown_name

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

    from trainers.plan import TrainingPlan

PICTURES = "pictures"
"""The column of a tokenised row that names its pictures."""
_OF_TEXT = frozenset({"input_ids", "attention_mask", "labels", "text_replacement_offsets"})
_KINDS = ("token_type_ids", "mm_token_type_ids")
"""Under which of these a family's forward pass is told which tokens are of a picture."""
_PROBED = Size(32, 48)


class Sight:
    """Pictures for one model."""

    def __init__(self, processor: ProcessorMixin) -> None:
        self.processor = processor
        self.mark: str = getattr(processor, "image_token", "") or ""
        self._written: dict[Size, str] = {}
        self._ids = frozenset(one for one in processor.image_token_ids if one is not None)
        probe = self._processed([[_blank(_PROBED)]]) if self.mark else {}
        if not any(name not in (*_OF_TEXT, *_KINDS) for name in probe):
            raise PlanRefused(
                tr("{name} turns no picture into pixels", name=type(processor).__name__),
                fix=tr("leave the pictures out of the data, or take a model that reads images"),
            )
        self.kinds = next((name for name in _KINDS if name in probe), "")
        """The name under which `token_kinds` goes to the model; "" where it asks for none."""

    def opened(self, named: Sequence[str], base: Path) -> list[Size]:
        """The sizes of pictures, each opened and decoded. Raises RowError for what cannot be."""
        sizes = []
        for one in named:
            picture = opened(one, base)
            sizes.append(Size(picture.height, picture.width))
            picture.close()
        return sizes

    def expanded(self, rendered: Rendered, sizes: Sequence[Size]) -> Rendered:
        """The text with the tokens of each picture in the place of its mark; none of them is learnt.

        Raises RowError where marks and pictures differ in number.
        """
        return expanded(rendered, self.mark, [self.written(size) for size in sizes])

    def written(self, size: Size) -> str:
        """What the family writes for a picture of this size: its tokens, with the marks around and between them."""
        if size not in self._written:
            found = self._processed([[_blank(size)]], return_text_replacement_offsets=True)
            self._written[size] = found["text_replacement_offsets"][0][0]["replacement"]
        return self._written[size]

    def token_kinds(self, input_ids: Sequence[int]) -> list[int]:
        """0 for a token of words, 1 for one of a picture."""
        return [int(one in self._ids) for one in input_ids]

    def asked(self, text: str, named: Sequence[str]) -> str:
        """A rendered question with the tokens of its pictures. Raises RunError for one that cannot be opened."""
        sizes = [Size(picture.height, picture.width) for picture in map(self._again, named)]
        return self.expanded(Rendered(text, ()), sizes).text

    def beside(self, input_ids: Sequence[int], named: Sequence[str], device: Any) -> dict[str, torch.Tensor]:
        """What one row brings to a forward pass beside its token ids."""
        import torch

        kinds = {self.kinds: torch.tensor([self.token_kinds(input_ids)])} if self.kinds else {}
        return {name: value.to(device) for name, value in {**kinds, **self.inputs([named])}.items()}

    def inputs(self, rows: Sequence[Sequence[str]]) -> dict[str, torch.Tensor]:
        """What the tower reads for these rows, in order; {} when none has a picture.

        Raises RunError for a file that was there when the run began, and can no longer be opened.
        """
        named = [list(row) for row in rows if row]
        if not named:
            return {}
        found = self._processed([[self._again(one) for one in row] for row in named], return_tensors="pt")
        return {name: value for name, value in found.items() if name not in (*_OF_TEXT, *_KINDS)}

    def _again(self, named: str) -> Any:
        try:
            return opened(named, Path("/"))
        except RowError as error:
            raise RunError(
                tr("a picture of the data is no longer there: {name}", name=shown_name(named)),
                why=str(error),
                fix=tr("put it back as it was, then resume"),
            ) from error

    def _processed(self, pictures: list[list[Any]], **options: Any) -> Mapping[str, Any]:
        texts = [self.mark * len(row) for row in pictures]
        found: Mapping[str, Any] = self.processor(images=pictures, text=texts, padding=True, **options)
        return found


def sight_of(plan: TrainingPlan, tokenizer: PreTrainedTokenizerBase) -> Sight | None:
    """What reads the pictures of this plan's data; None for a plan on words alone."""
    if not plan.reads_images:
        return None
    from trainers.methods.processor import load_processor

    return Sight(load_processor(plan, tokenizer))


def _blank(size: Size) -> Any:
    from PIL import Image

    return Image.new("RGB", (size.width, size.height))


class Collator:
    """Rows of token ids and labels as one padded batch, with the pixels of their pictures."""

    def __init__(self, sight: Sight, pad_token_id: int, ignored: int) -> None:
        self.sight, self.pad_token_id, self.ignored = sight, pad_token_id, ignored

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The batch as the model's forward pass takes it."""
        ids = [row["input_ids"] for row in rows]
        batch = {
            "input_ids": _padded(ids, self.pad_token_id),
            "attention_mask": _padded([[1] * len(row) for row in ids], 0),
            "labels": _padded([row["labels"] for row in rows], self.ignored),
        }
        if self.sight.kinds:
            batch[self.sight.kinds] = _padded([self.sight.token_kinds(row) for row in ids], 0)
        return {**batch, **self.sight.inputs([row[PICTURES] or [] for row in rows])}


def _padded(rows: Sequence[Sequence[int]], filling: int) -> torch.Tensor:
    import torch

    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filling] * (longest - len(row))] for row in rows])
