"""The tokenizer's side of an example, without transformers: what a model's files say of its template."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import msgspec

from advisor.base.language import tr
from advisor.model.folder import chat_template, read_json_object
from advisor.model.spec import ModelSpec
from trainers.examples.example import Example
from trainers.examples.spans import Marker, Rendered
from trainers.examples.template import CHATML, NAMED_TOKENS, ChatTemplate
from trainers.pictures.expanding import expanded
from trainers.pictures.families import Look
from trainers.pictures.opening import size_of
from trainers.plan import LeaveOut, LossOn

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How a model reads: its tokenizer file, template, and special tokens."""

    tokenizer_path: Path
    template: str | None
    eos_token: str | None
    bos_token: str | None
    pad_token: str | None
    end_ids: frozenset[int]
    """Tokens that stop generation, as generation_config.json and config.json name them."""
    more_tokens: dict[str, str] = {}
    """The other special tokens that a template may name."""

    @property
    def tokens(self) -> dict[str, str]:
        """Special tokens by the names that templates know."""
        named = {"bos_token": self.bos_token, "eos_token": self.eos_token}
        return {**self.more_tokens, **{name: token for name, token in named.items() if token}}


def read_dialect(model: ModelSpec | None) -> Dialect | None:
    """The dialect of a model whose tokenizer.json is at hand, else None. Raises InputError for damaged files."""
    if model is None or not model.tokenizer_path:
        return None
    path = Path(model.tokenizer_path)
    folder = path.parent
    settings = (
        read_json_object(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    )
    special = folder / "special_tokens_map.json"
    named = {**(read_json_object(special) if special.is_file() else {}), **settings}
    return Dialect(
        tokenizer_path=path,
        template=chat_template(folder),
        eos_token=_token(named.get("eos_token")),
        bos_token=_token(named.get("bos_token")),
        pad_token=_token(named.get("pad_token")),
        end_ids=_generation_ends(folder),
        more_tokens={name: token for name in NAMED_TOKENS if (token := _token(named.get(name)))},
    )


class Sight(NamedTuple):
    """How the pictures of a dataset are seen."""

    look: Look
    folder: Path
    """The folder that their names are relative to."""


class Renderer:
    """Marks examples in one model's dialect, and holds its tokenizer."""

    def __init__(
        self,
        dialect: Dialect,
        loss_on: LossOn = "assistant",
        leave_out: Collection[LeaveOut] = (),
        sight: Sight | None = None,
    ) -> None:
        self.dialect, self.loss_on, self.leave_out, self.sight = dialect, loss_on, leave_out, sight

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's own tokenizer. Raises InputError when its file is damaged."""
        from tokenizers import Tokenizer

        path = self.dialect.tokenizer_path
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:
            # The Rust side raises bare Exception for a file that it cannot parse.
            from advisor.base.errors import InputError, Problem

            fix = tr("Download the model's tokenizer files again.")
            what = tr("{path} is not a tokenizer that can be read", path=path)
            raise InputError(Problem(what=what, why=str(error), fix=fix, where="--model")) from error

    def encode(self, texts: list[str], *, add_special_tokens: bool) -> list[Encoding]:
        """The tokens of each text. Raises InputError when the tokenizer contradicts itself."""
        try:
            return self.tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)
        except Exception as error:
            # The Rust side raises bare Exception, for an unknown-token that its vocabulary lacks, say.
            from advisor.base.errors import InputError, Problem

            fix = tr("Download the model's tokenizer files again.")
            what = tr("{tokenizer_path} cannot be used", tokenizer_path=self.dialect.tokenizer_path)
            raise InputError(Problem(what=what, why=str(error), fix=fix, where="--model")) from error

    @cached_property
    def marker(self) -> Marker:
        """What finds the answers in the model's own template, or in ChatML when it brings none."""
        source = self.dialect.template or CHATML.read_text(encoding="utf-8")
        mark = self.sight.look.mark if self.sight else ""
        return Marker(ChatTemplate(source, self.dialect.tokens), self.end_tokens, self.loss_on, self.leave_out, mark)

    def mark(self, example: Example) -> Rendered:
        """The marked text with the tokens of its pictures. Raises RowError as the marker does, and for a picture."""
        rendered = self.marker.mark(example)
        if self.sight is None or not example.images:
            return rendered
        written = [self.sight.look.written(size_of(named, self.sight.folder)) for named in example.images]
        return expanded(rendered, self.sight.look.mark, written)

    @cached_property
    def picture_token_id(self) -> int | None:
        """The token that stands for a piece of a picture; None for a model that sees none."""
        return self.tokenizer.token_to_id(self.sight.look.family.token) if self.sight else None

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Ids of the tokens that stop generation."""
        found = {self.tokenizer.token_to_id(token) for token in self.end_tokens}
        return frozenset(one for one in found if one is not None)

    @cached_property
    def eos_id(self) -> int | None:
        """Id of the tokenizer's own end token."""
        eos = self.dialect.eos_token
        return self.tokenizer.token_to_id(eos) if eos else None

    @cached_property
    def end_tokens(self) -> frozenset[str]:
        """Texts of the tokens that stop generation."""
        named = {self.tokenizer.id_to_token(one) for one in self.dialect.end_ids} | {self.dialect.eos_token}
        return frozenset(token for token in named if token)


def _token(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value < 2**32  # what the tokenizer's library can look up


def _generation_ends(folder: Path) -> frozenset[int]:
    ids: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            stated = read_json_object(folder / name).get("eos_token_id")
            ids |= {one for one in (stated if isinstance(stated, list) else [stated]) if _is_id(one)}
    return frozenset(ids)
