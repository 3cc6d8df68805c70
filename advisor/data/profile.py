"""DatasetProfile: what a dataset is and how long its examples are, as facts with their exactness stated."""

from __future__ import annotations

import re

import msgspec

from trainers.plan import DataFile, DatasetFormat


class RowProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One broken row: its 1-based line (or row) number in the file and what is wrong with it."""

    line: int
    what: str

    @property
    def kind(self) -> str:
        """What is wrong without its particulars: rows of one kind need the same repair."""
        return re.split(r"[:'(\d]", self.what, maxsplit=1)[0].strip()


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Token lengths of whole rendered examples."""

    mean: float
    p50: int
    p90: int
    p95: int
    p99: int
    longest: int
    exact_tokens: bool
    """True: counted with the model's own tokenizer; False: estimated from the text's size."""
    sampled_rows: int
    """Rows tokenised; equal to the number of rows when all were."""


class DatasetProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the advice needs to know of a dataset. Counts are of usable rows."""

    source: str
    format: DatasetFormat
    columns: tuple[str, ...]
    mapping: dict[str, str] = {}
    """Columns that the user named: target -> column."""
    split: str = "train"
    num_examples: int
    num_broken: int = 0
    num_excluded: int = 0
    """Rows that the data itself takes out of training, such as answers judged bad."""
    broken_rows: tuple[RowProblem, ...] = ()
    """The first few of each kind, with their lines."""
    total_tokens: int
    completion_tokens: int
    """Tokens that are trained on when the loss is on the answers only."""
    lengths: Lengths
    multi_turn_share: float = 0.0
    num_duplicates: int = 0
    has_eval: bool = False
    files: tuple[DataFile, ...] = ()
    """The files that were read, with their digests."""
    eval_files: tuple[DataFile, ...] = ()
    eval_source: str | None = None
    kind_guess: str | None = None
    """What the examples look like (a value of `data.kind`): a default to be confirmed, never a fact."""
    kind_reason: str = ""
    file_bytes: int | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def completion_ratio(self) -> float:
        """Share of all tokens that belong to answers."""
        return self.completion_tokens / self.total_tokens if self.total_tokens else 0.0
