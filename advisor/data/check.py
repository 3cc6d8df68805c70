"""check_dataset: puts the DataVerdict together."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from advisor.data.configurations import judge_configurations
from advisor.data.content.check import ContentCheck
from advisor.data.evaluation import read_evaluation
from advisor.data.examine import build_profile
from advisor.data.eyes import eyes_of
from advisor.data.findings import judge
from advisor.data.leaks.finder import LeakFinder
from advisor.data.lengths import Measured, percentiles
from advisor.data.pictures import PictureCheck
from advisor.data.proofs import judge_foreign_calls, judge_foreign_chats, shown_rows, shows_names
from advisor.data.rendering import Renderer, Sight, read_dialect
from advisor.data.scan import Counted, Reading, Scan, count_tokens, duplicates, scan
from advisor.data.source import sets_of, told_as_input
from advisor.data.tags import judge_tags
from advisor.data.unseen import judge_unseen
from advisor.data.unused import spoken_of
from advisor.data.verdict import DataVerdict, Finding, ShownRow
from advisor.data.ways import with_command
from advisor.model.spec import ModelSpec
from trainers.examples.card import Card
from trainers.examples.example import Example, RowError
from trainers.examples.layouts import BY_NAME
from trainers.examples.ledger import Entry
from trainers.pictures.opening import folder_of
from trainers.plan import DatasetRef, LeaveOut, LossOn

SAMPLE_ROWS = 5000
SAMPLE_CHARACTERS = 24_000_000
_BINS = 24


@told_as_input()
def check_dataset(
    source: str | DatasetRef,
    model: ModelSpec | None = None,
    max_seq_len: int | None = None,
    *,
    eval_source: str | None = None,
    split: str = "train",
    sample_rows: int = SAMPLE_ROWS,
    allow: Collection[str] = (),
    look_for_leaks: bool = True,
    loss_on: LossOn = "assistant",
    leave_out: Collection[LeaveOut] = (),
    columns: Mapping[str, str] | None = None,
    reads_images: bool | None = None,
    max_pixels: int | None = None,
) -> DataVerdict:
    """Everything that the data would do to a run with this model and length.

    `source` is a name as a user types it (`eval_source`, `split` and `columns` go with it), or what a plan names:
    then the files are those of the plan. `max_seq_len` None takes the model's own; `loss_on` is what the run trains
    on, without `leave_out`. Pictures are read where the model sees them, unless `reads_images` says otherwise, with
    at most `max_pixels` each. `allow` lowers findings to warnings by their code.

    Raises InputError and MachineError as
    `profile_dataset` does, for data that cannot be judged.
    """
    named = (
        DatasetRef(source=source, split=split, eval_source=eval_source, columns=dict(columns or {}))
        if isinstance(source, str)
        else source
    )
    sets = sets_of(named)
    content = ContentCheck(LeakFinder(loss_on) if look_for_leaks else None)
    reading = Reading(format=named.format, columns=named.columns, loss_on=loss_on)
    pictures = PictureCheck(folder_of(sets.train))

    def visit(line: int, example: Example, text: str) -> None:
        content.add(line, example, text)
        pictures.add(line, example)

    found = scan(sets.train, sample_rows, SAMPLE_CHARACTERS, visit, reading)
    dialect = read_dialect(model)
    look = eyes_of(model, max_pixels) if pictures.pictures and reads_images is not False else None
    found.sample = [one for one in found.sample if one.line not in pictures.bad_lines]
    found.longest = [one for one in found.longest if one.line not in pictures.bad_lines]
    limit = max_seq_len or (model.max_position_embeddings if model else None)
    counted = Counted()
    shown: tuple[ShownRow, ...] = ()
    foreign: tuple[Finding, ...] = ()
    card: Card | None = None
    renderer: Renderer | None = None
    if dialect is not None:
        renderer = Renderer(dialect, loss_on, leave_out, Sight(look, pictures.folder) if look else None)
        counted = count_tokens(found, renderer, limit)
        shown = shown_rows(found.sample, renderer.marker)
        foreign = (
            *judge_foreign_chats(found.sample, renderer.marker),
            *judge_foreign_calls(found.sample, renderer.marker),
        )
        with contextlib.suppress(RowError):  # then each row says so
            card = renderer.marker.card
    measured, refused = counted.measured, counted.refused
    profile = build_profile(sets, found, dialect, tuple(refused))
    evaluation = read_evaluation(sets, renderer)
    over = found.statistics.over(limit) if limit else (None, None)
    verdict = DataVerdict(
        profile=profile,
        max_seq_len=limit,
        counted_rows=len(measured),
        is_projected=len(measured) < found.usable,
        sequences=_projected(counted.sequences, counted.proof.rows, found),
        truncated_examples=over[0],
        truncated_tokens=over[1],
        fully_masked=_projected(sum(not one.supervised_within for one in measured), counted.proof.rows, found),
        supervised_share=_share(
            sum(m.supervised_within for m in measured), sum(min(m.tokens, limit or m.tokens) for m in measured)
        ),
        end_of_turn_share=_ends(measured, limit),
        end_token=dialect.eos_token if dialect else None,
        has_distinct_pad=_distinct_pad(dialect.pad_token, dialect.eos_token) if dialect else None,
        has_chat_template=dialect.template is not None if dialect else (model.has_chat_template if model else None),
        template_refused=tuple(refused[:20]),
        first_example=shown[0].pieces if shown else (),
        shown_rows=shown,
        proof=counted.proof if dialect else None,
        eval_proof=evaluation.proof if evaluation and dialect else None,
        template_card=card,
        duplicate_lines=tuple(duplicates(found.digests, found.lines)[1]),
        eval_examples=evaluation.held.total() if evaluation else None,
        eval_overlap=evaluation.overlap(found.digests) if evaluation else None,
        length_histogram=binned(found.statistics.brought(), _BINS),
        doubts=tuple(note.text for note in found.notes if note.is_doubtful),
        excluded=dict(found.excluded),
        pictures=pictures.profile({size: look.tokens(size) for size in pictures.sizes} if look else {}),
        ledger=tuple(_with_names(found.ledger.entries(), renderer)),
    )
    dropped = profile.num_broken + (verdict.fully_masked or 0)
    verdict = msgspec.structs.replace(verdict, dropped_examples=dropped)
    harmless = found.unseen.harmless()
    seen = pictures.findings(model, sees=look is not None, cut_lines=counted.cut_pictures)
    findings = (
        *seen,
        *foreign,
        *judge_configurations(sets.train),
        *judge_tags(found.sample),
        *(evaluation.findings() if evaluation else ()),
        *judge_unseen(
            found.unseen,
            verdict.ledger,
            spoken_of(verdict.ledger, bool(profile.mapping), harmless),
            tuple(place for name in found.ledger.layouts() for place in BY_NAME[name].chosen_from),
        ),
        *judge(verdict, content, harmless),
    )
    return verdict.with_findings(tuple(with_command(one, named, profile.num_examples) for one in findings)).allowing(
        allow
    )


def _with_names(entries: Iterable[Entry], renderer: Renderer | None) -> Iterator[Entry]:
    """The ledger, with the key `name` of a turn as shown where the chat template shows it."""
    for entry in entries:
        is_shown = (
            renderer is not None and (entry.what, entry.name) == ("key", "name") and shows_names(renderer.marker)
        )
        yield msgspec.structs.replace(entry, shown=entry.unused, unused=0, lines=()) if is_shown else entry


def binned(histogram: dict[int, int], bins: int) -> dict[int, int]:
    """The histogram in `bins` equal bins up to its 99th percentile, then one, each under its upper bound."""
    (most,) = percentiles(histogram, (0.99,))
    width = max(1, -(-most // bins))
    merged: dict[int, int] = {}
    for length, count in histogram.items():
        bound = max(1, -(-length // width)) * width if length <= width * bins else max(histogram)
        merged[bound] = merged.get(bound, 0) + count
    return dict(sorted(merged.items()))


def _projected(count: int, looked_at: int, found: Scan) -> int | None:
    return round(count / looked_at * found.usable) if looked_at else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _ends(measured: list[Measured], limit: int | None) -> float | None:
    whole = [one for one in measured if limit is None or one.tokens <= limit]
    return _share(sum(one.ends for one in whole), len(whole))


def _distinct_pad(pad: str | None, eos: str | None) -> bool:
    return pad is not None and pad != eos
