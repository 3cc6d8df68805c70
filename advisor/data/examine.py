"""profile_dataset: what a dataset is and how long its examples are."""

from __future__ import annotations

from collections.abc import Mapping

from advisor.base.language import tr
from advisor.data.eyes import eyes_of
from advisor.data.kind import guess_kind
from advisor.data.profile import DatasetProfile, RowProblem
from advisor.data.rendering import Dialect, Renderer, Sight, read_dialect
from advisor.data.scan import Reading, Scan, count_tokens, duplicates, scan
from advisor.data.source import sets_of, told_as_input
from advisor.model.spec import ModelSpec
from trainers.examples.sets import Sets, stated_files
from trainers.pictures.opening import folder_of
from trainers.plan import DatasetRef

SAMPLE_ROWS = 1000
KIND_ROWS = 500


@told_as_input()
def profile_dataset(
    source: str,
    model: ModelSpec | None = None,
    *,
    split: str = "train",
    sample_rows: int = SAMPLE_ROWS,
    columns: Mapping[str, str] | None = None,
    eval_source: str | None = None,
) -> DatasetProfile:
    """The facts of the dataset that `source` names: a file, a folder or a hub id, with the columns that were mapped.

    Every row is read and checked; tokens are counted on `sample_rows` random rows (and the longest) with the
    model's own tokenizer and chat template when the model has a tokenizer.json at hand, and are estimated
    from the text otherwise, which `lengths.exact_tokens` and a note say.
    Raises InputError (nothing there, unreadable, unknown format, fewer than two usable examples) and
    MachineError (a hub id that cannot be reached).
    """
    named = DatasetRef(source=source, split=split, columns=dict(columns or {}), eval_source=eval_source)
    sets = sets_of(named)
    found = scan(sets.train, sample_rows, reading=Reading(columns=named.columns))
    dialect = read_dialect(model)
    look = eyes_of(model) if found.picture_rows else None
    sight = Sight(look, folder_of(sets.train)) if look else None
    refused = count_tokens(found, Renderer(dialect, sight=sight)).refused if dialect else []
    return build_profile(sets, found, dialect, tuple(refused))


def build_profile(
    sets: Sets, found: Scan, dialect: Dialect | None, refused: tuple[RowProblem, ...]
) -> DatasetProfile:
    """The profile of a dataset that was read, and tokenised where a tokenizer is at hand."""
    opened = sets.train
    files = stated_files(opened)
    # A split inside the training file is found in it again.
    beside = sets.eval if sets.eval and sets.eval.files != opened.files else None
    notes = list(opened.notes)
    notes += [note.text for note in found.notes]
    layouts = found.ledger.layouts()
    if len(layouts) > 1 and not found.reader.parts:
        counts = ", ".join(f"{count:,} as {name}" for name, count in layouts.most_common())
        notes.append(tr("rows of several layouts, each read by its own: {counts}", counts=counts))
    if found.reader.layout.note:
        notes.append(tr(found.reader.layout.note))
    if dialect is None:
        notes.append(tr("no tokenizer of the model at hand: token counts are estimated from the text"))
    else:
        if refused:
            notes.append(
                tr(
                    "the chat template refuses {num_refused} of {num_sample} rows: {what}",
                    num_refused=len(refused),
                    num_sample=len(found.sample),
                    what=refused[0].what,
                )
            )
        if dialect.template is None and found.reader.layout.name != "text":
            notes.append(tr("the model brings no chat template: ChatML is assumed"))
        if len(found.sample) < found.usable:
            notes.append(
                tr(
                    "tokens counted on {num_sample:,} random rows of {usable:,} and on the longest",
                    num_sample=len(found.sample),
                    usable=found.usable,
                )
            )
    if sets.eval and not beside:
        notes.append(tr("{name} evaluates", name=sets.eval.name))
    statistics = found.statistics
    kind = guess_kind([one.example for one in found.sample[:KIND_ROWS]])
    return DatasetProfile(
        source=sets.named.source,
        format=found.reader.layout.name,
        columns=found.columns,
        split=opened.split,
        num_examples=found.usable,
        num_broken=found.broken,
        num_excluded=found.excluded.total(),
        mapping=found.reader.mapping,
        broken_rows=tuple(found.broken_rows),
        total_tokens=statistics.total_tokens(),
        completion_tokens=statistics.answer_tokens(),
        lengths=statistics.lengths(),
        multi_turn_share=found.multi_turn / found.usable,
        picture_rows=found.picture_rows,
        num_duplicates=duplicates(found.digests, found.lines)[0],
        has_eval=sets.eval is not None,
        files=files,
        eval_files=stated_files(beside) if beside else (),
        eval_source=sets.named.eval_source or (beside.name if beside and len(beside.files) == 1 else None),
        kind_guess=kind.kind,
        kind_reason=kind.reason,
        file_bytes=opened.num_bytes,
        sha256=files[0].sha256 if len(files) == 1 else None,
        notes=tuple(notes),
    )
