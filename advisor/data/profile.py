"""DatasetProfile: what a dataset is and how long its examples are, as facts with their exactness stated."""

from __future__ import annotations

import re

import msgspec

from trainers.plan import DataFile, DatasetFormat


class RowProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One broken row: its 1-based line (or row) number in the file and what is wrong with it."""

    line: int
    """Line (or row) of the file, from 1."""
    what: str
    """What is wrong with it."""

    @property
    def kind(self) -> str:
        """What is wrong without its particulars: rows of one kind need the same repair."""
        return re.split(r"[:'(\d]", self.what, maxsplit=1)[0].strip()


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Token lengths of whole rendered examples."""

    mean: float
    """Mean of all examples."""
    p50: int
    """Half of the examples are at most as long."""
    p90: int
    """90 % are at most as long."""
    p95: int
    """95 % are at most as long."""
    p99: int
    """99 % are at most as long."""
    longest: int
    """The longest one that was counted."""
    exact_tokens: bool
    """True: counted with the model's own tokenizer; False: estimated from the text's size."""
    sampled_rows: int
    """Rows tokenised; equal to the number of rows when all were."""


class PictureProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures of a dataset. Counts are of usable rows."""

    rows: int
    """Rows with a picture."""
    pictures: int
    """Pictures of all rows."""
    most_of_a_row: int
    """Pictures of the row that has most."""
    looked_at: int
    """Pictures of which the size was read."""
    unusable_rows: int = 0
    """Rows with a picture that is missing, broken or too large, of those looked at."""
    largest: tuple[int, int] | None = None
    """Width and height in pixels of the picture with most of them."""
    median_pixels: int | None = None
    """Half of the pictures have at most as many."""
    tokens_largest: int | None = None
    """Tokens that the model makes of its costliest picture; null without a model that sees."""
    tokens_mean: float | None = None
    """Mean tokens that the model makes of a picture."""


class DatasetProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the advice needs to know of a dataset. Counts are of usable rows."""

    source: str
    """File, folder, pattern or hub id, as it was named."""
    format: DatasetFormat
    """The layout in which rows are read."""
    columns: tuple[str, ...]
    """Columns of the rows, as they stand in the files."""
    mapping: dict[str, str] = {}
    """Columns that the user named: target -> column."""
    split: str = "train"
    """The part of a hub dataset that is read."""
    num_examples: int
    """Rows that can be used."""
    num_broken: int = 0
    """Rows that cannot."""
    num_excluded: int = 0
    """Rows that the data itself takes out of training, such as answers judged bad."""
    broken_rows: tuple[RowProblem, ...] = ()
    """The first few of each kind, with their lines."""
    total_tokens: int
    """Tokens of all examples, once through."""
    completion_tokens: int
    """Tokens that are trained on when the loss is on the answers only."""
    lengths: Lengths
    """How long the examples are."""
    multi_turn_share: float = 0.0
    """Share of the conversations with more than one answer, 0 to 1."""
    picture_rows: int = 0
    """Examples that bring pictures."""
    num_duplicates: int = 0
    """Examples that repeat another one."""
    has_eval: bool = False
    """Whether an evaluation set was named or found."""
    files: tuple[DataFile, ...] = ()
    """The files that were read, with their digests."""
    eval_files: tuple[DataFile, ...] = ()
    """Files of the evaluation set, with their digests."""
    eval_source: str | None = None
    """Where the evaluation set lies; null without one."""
    kind_guess: str | None = None
    """What the examples look like (a value of `data.kind`): a default to be confirmed, never a fact."""
    kind_reason: str = ""
    """What in the data speaks for that guess."""
    file_bytes: int | None = None
    """Size of the files; null where it is not known."""
    sha256: str | None = None
    """Digest, where it is one file; null otherwise."""
    notes: tuple[str, ...] = ()
    """What was noticed while reading."""

    @property
    def completion_ratio(self) -> float:
        """Share of all tokens that belong to answers."""
        return self.completion_tokens / self.total_tokens if self.total_tokens else 0.0
