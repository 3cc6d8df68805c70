"""The pictures of a dataset: whether they are there, open and small enough, and what they become for a model.

Of many the head of the file is read, which says its size; of the first few the whole file. A model that sees none
would be taught to make things up, so that is said before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.base.language import tr
from advisor.data.profile import PictureProfile
from advisor.data.verdict import BROKEN_BLOCKS, Finding
from trainers.examples.example import Example, RowError
from trainers.pictures.opening import Size, opened, size_of

if TYPE_CHECKING:
    from advisor.model.spec import ModelSpec

HEADS_READ = 20_000
"""Pictures of which the size is read; a head takes a fraction of a millisecond."""
DECODED = 300
"""Pictures that are decoded whole, which finds a file that ends too early; each takes some ten milliseconds."""
SHOWN_LINES = 5


class PictureCheck:
    """Looks at the pictures of every usable row as it passes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = self.pictures = self.most = self.looked_at = 0
        self.bad_lines: dict[int, str] = {}
        """Line of a row that cannot be used -> why."""
        self.sizes: dict[Size, int] = {}
        """Size -> pictures of it."""
        self.lacks_pillow = False

    def add(self, line: int, example: Example) -> None:
        """One usable row."""
        if not example.images:
            return
        self.rows += 1
        self.pictures += len(example.images)
        self.most = max(self.most, len(example.images))
        if self.lacks_pillow or self.looked_at >= HEADS_READ:
            return
        try:
            for named in example.images:
                self._look(named)
        except RowError as error:
            self.bad_lines[line] = str(error)
        except ImportError:
            self.lacks_pillow = True

    def _look(self, named: str) -> None:
        self.looked_at += 1
        if self.looked_at <= DECODED:
            with opened(named, self.folder) as picture:
                size = Size(picture.height, picture.width)
        else:
            size = size_of(named, self.folder)
        self.sizes[size] = self.sizes.get(size, 0) + 1

    def profile(self, tokens: dict[Size, int]) -> PictureProfile | None:
        """The sums; `tokens` are those of a picture of each size, {} where no model sees them. None without any."""
        if not self.pictures:
            return None
        known = sum(self.sizes.values())
        largest = max(self.sizes, key=lambda size: size.height * size.width, default=None)
        return PictureProfile(
            rows=self.rows,
            pictures=self.pictures,
            most_of_a_row=self.most,
            looked_at=self.looked_at,
            unusable_rows=len(self.bad_lines),
            largest=(largest.width, largest.height) if largest else None,
            median_pixels=self._median() if known else None,
            tokens_largest=max(tokens.values(), default=None),
            tokens_mean=sum(tokens[size] * count for size, count in self.sizes.items()) / known if tokens else None,
        )

    def _median(self) -> int:
        half, below = sum(self.sizes.values()) / 2, 0
        for size in sorted(self.sizes, key=lambda size: size.height * size.width):
            below += self.sizes[size]
            if below >= half:
                break
        return size.height * size.width

    def findings(self, model: ModelSpec | None, *, sees: bool, cut_lines: list[int]) -> Iterator[Finding]:
        """What stands in the way of training on them; `cut_lines`: rows in which the length limit cuts a picture."""
        if not self.pictures:
            return
        if self.lacks_pillow:
            yield Finding(
                code="pictures-unread",
                level="block",
                what=tr(
                    "{rows:,} rows bring pictures, and Pillow, which opens them, is not installed", rows=self.rows
                ),
                why=tr("Whether they are there and whole is not known."),
                fix=tr("pip install 'sft-advisor[vision]'"),
            )
        yield from self._unseen(model, sees)
        yield from self._unusable()
        if cut_lines:
            yield Finding(
                code="pictures-cut",
                level="block",
                what=tr("the sequence length cuts a picture of {rows:,} rows looked at", rows=len(cut_lines)),
                why=tr("A model cannot read a part of a picture's tokens: the run leaves these rows out."),
                fix=tr("Raise --max-seq-len, or give the pictures fewer pixels with --max-pixels."),
                lines=tuple(cut_lines[:SHOWN_LINES]),
                rows=len(cut_lines),
            )

    def _unseen(self, model: ModelSpec | None, sees: bool) -> Iterator[Finding]:
        if sees:
            return
        if model is None:
            yield Finding(
                code="pictures-unseen",
                level="warn",
                what=tr("{rows:,} rows bring pictures, and no model is named that could see them", rows=self.rows),
                why=tr("What a picture becomes, and whether a row fits, depends on the model."),
                fix=tr("Name it: --model Qwen2.5-VL-7B-Instruct."),
                rows=self.rows,
            )
            return
        why = tr("It learns to describe what it was not shown: to make things up.")
        if model.towers:
            why = tr(
                "It has parts for images, and its family ({model_type}) was not seen to learn from pictures here: "
                "text alone trains it. TRL's example for vision-language models (sft_vlm.py) may.",
                model_type=model.model_type,
            )
        yield Finding(
            code="pictures-unseen",
            level="block",
            what=tr(
                "{rows:,} rows bring pictures, and {model} would see none of them", rows=self.rows, model=model.name
            ),
            why=why,
            fix=tr(
                "Take a model that reads pictures and is trained on them here (Qwen-VL, Gemma, Mistral Small 3.x, "
                "InternVL, SmolVLM, LLaVA), or leave these rows out."
            ),
            rows=self.rows,
        )

    def _unusable(self) -> Iterator[Finding]:
        if not self.bad_lines:
            return
        share = len(self.bad_lines) / self.rows
        line, reason = next(iter(self.bad_lines.items()))
        yield Finding(
            code="pictures-broken",
            level="block" if share > BROKEN_BLOCKS else "warn",
            what=tr(
                "{bad:,} of {rows:,} rows with pictures cannot be used: line {line}: {reason}",
                bad=len(self.bad_lines),
                rows=self.rows,
                line=line,
                reason=reason,
            ),
            why=tr("The run leaves them out. Names of pictures are relative to the folder of the data."),
            fix=tr("Put the files where the rows say, or remove the rows."),
            lines=tuple(list(self.bad_lines)[:SHOWN_LINES]),
            rows=len(self.bad_lines),
        )
