"""profile_dataset: what a dataset is and how long its examples are."""

from __future__ import annotations

from advisor.data.kind import guess_kind
from advisor.data.profile import DatasetProfile, RowProblem
from advisor.data.rendering import Dialect, Renderer, read_dialect
from advisor.data.scan import Scan, count_tokens, duplicates, scan
from advisor.data.source import Source, open_source
from advisor.model.spec import ModelSpec

SAMPLE_ROWS = 1000
KIND_ROWS = 500


def profile_dataset(
    source: str, model: ModelSpec | None = None, *, split: str = "train", sample_rows: int = SAMPLE_ROWS
) -> DatasetProfile:
    """The facts of the dataset that `source` names: a file, a folder or a hub id.

    Every row is read and checked; tokens are counted on `sample_rows` random rows (and the longest) with the
    model's own tokenizer and chat template when the model has a tokenizer.json at hand, and are estimated
    from the text otherwise, which `lengths.exact_tokens` and a note say.
    Raises InputError (nothing there, unreadable, mixed or unknown format, fewer than two usable examples) and
    MachineError (a hub id that cannot be reached).
    """
    opened = open_source(source, split)
    found = scan(opened, sample_rows)
    dialect = read_dialect(model)
    refused = count_tokens(found, Renderer(dialect))[1] if dialect else []
    return build_profile(source, opened, found, dialect, tuple(refused))


def build_profile(
    source: str, opened: Source, found: Scan, dialect: Dialect | None, refused: tuple[RowProblem, ...]
) -> DatasetProfile:
    """The profile of a dataset that was read, and tokenised where a tokenizer is at hand."""
    notes = list(opened.notes)
    if dialect is None:
        notes.append("no tokenizer of the model at hand: token counts are estimated from the text")
    else:
        if refused:
            notes.append(f"the chat template refuses {len(refused)} of {len(found.sample)} rows: {refused[0].what}")
        if dialect.template is None and found.format != "text":
            notes.append("the model brings no chat template: ChatML is assumed")
        if len(found.sample) < found.usable:
            notes.append(
                f"tokens counted on {len(found.sample):,} random rows of {found.usable:,} and on the longest"
            )
    statistics = found.statistics
    kind = guess_kind([one.example for one in found.sample[:KIND_ROWS]])
    return DatasetProfile(
        source=source,
        format=found.format,
        columns=found.columns,
        split=opened.split,
        num_examples=found.usable,
        num_broken=found.broken,
        broken_rows=tuple(found.broken_rows),
        total_tokens=statistics.total_tokens(),
        completion_tokens=statistics.answer_tokens(),
        lengths=statistics.lengths(),
        multi_turn_share=found.multi_turn / found.usable,
        num_duplicates=duplicates(found.digests, found.lines)[0],
        has_eval=opened.has_eval,
        kind_guess=kind.kind,
        kind_reason=kind.reason,
        file_bytes=opened.num_bytes,
        sha256=opened.sha256() if len(opened.files) == 1 else None,
        notes=tuple(notes),
    )
