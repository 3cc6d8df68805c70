"""The pictures of a dataset while it is prepared: all looked at once, and named so that the run finds them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import msgspec

from trainers.examples.example import Example, RowError
from trainers.examples.pictures import is_held
from trainers.examples.source import Source
from trainers.examples.spans import Rendered
from trainers.language import tr
from trainers.pictures.opening import folder_of, path_of
from trainers.training.rendering import Encoded, Renderer
from trainers.writing import write_atomically

FOLDER = "pictures"
"""Under the run's data: pictures that rows hold themselves."""


class PictureFiles:
    """Tokenises examples with pictures, and keeps what the run has to open again."""

    def __init__(self, renderer: Renderer, folder: Path) -> None:
        self.renderer, self.folder = renderer, folder / FOLDER

    def tokenised(self, rendered: Rendered, example: Example, source: Source, limit: int) -> tuple[Rendered, Encoded]:
        """The marked text with the tokens of its pictures, and its ids and labels.

        Raises RowError for a picture that cannot be opened, and where `limit` would cut one: a model cannot read half
        of a picture's tokens.
        """
        sight = self.renderer.sight
        assert sight is not None
        base = folder_of(source)
        expanded = sight.expanded(rendered, sight.opened(example.images, base))
        encoded = self.renderer.tokenise(expanded)
        last = max((place for place, kind in enumerate(sight.token_kinds(encoded.input_ids)) if kind), default=-1)
        if last < 0:
            raise RowError(tr("no token stands for its pictures"))
        if last >= limit:
            raise RowError(
                tr(
                    "a picture's tokens end at {last:,}, and max_seq_len = {limit:,} would cut them",
                    last=last + 1,
                    limit=limit,
                )
            )
        named = tuple(self._kept(one, base) for one in example.images)
        return expanded, msgspec.structs.replace(encoded, pictures=named)

    def _kept(self, named: str, base: Path) -> str:
        """The absolute path of a picture; one that the row holds is written out, once however often it comes."""
        if not is_held(named):
            return str((path_of(named, base) or base).absolute())
        held = base64.b64decode(named.partition(",")[2])
        path = self.folder / hashlib.sha256(held).hexdigest()
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, held)
        return str(path.absolute())
