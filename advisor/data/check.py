"""check_dataset: puts the DataVerdict together."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

import msgspec

from advisor.data.examine import build_profile
from advisor.data.findings import judge
from advisor.data.formats import Example, RowError, detect_format, normalise
from advisor.data.leaks import LeakFinder
from advisor.data.lengths import Measured, percentiles
from advisor.data.profile import RowProblem
from advisor.data.rendering import Renderer, read_dialect
from advisor.data.sampling import Sampled
from advisor.data.scan import LOOKED_AT, Scan, count_tokens, digest, duplicates, scan
from advisor.data.source import Source, open_source
from advisor.data.verdict import DataVerdict, Piece
from advisor.model.spec import ModelSpec
from trainers.plan import LossOn

SAMPLE_ROWS = 5000
SAMPLE_CHARACTERS = 24_000_000
_BINS = 24


def check_dataset(
    source: str,
    model: ModelSpec | None = None,
    max_seq_len: int | None = None,
    *,
    eval_source: str | None = None,
    split: str = "train",
    sample_rows: int = SAMPLE_ROWS,
    allow: Collection[str] = (),
    look_for_leaks: bool = True,
    loss_on: LossOn = "assistant",
) -> DataVerdict:
    """Everything that the data would do to a run with this model and length.

    `max_seq_len` None takes the model's own; `loss_on` is what the run trains on. `allow` lowers findings to warnings
    by their code. Raises InputError and MachineError as `profile_dataset` does, for data that cannot be judged.
    """
    opened = open_source(source, split)
    leaks = LeakFinder() if look_for_leaks else None
    found = scan(
        opened,
        sample_rows,
        SAMPLE_CHARACTERS,
        visit=(lambda line, example: leaks.add(line, _said(example))) if leaks else None,
    )
    dialect = read_dialect(model)
    limit = max_seq_len or (model.max_position_embeddings if model else None)
    measured: list[Measured] = []
    refused: list[RowProblem] = []
    pieces: tuple[Piece, ...] = ()
    if dialect is not None:
        renderer = Renderer(dialect, loss_on)
        measured, refused = count_tokens(found, renderer, limit)
        pieces = _first_example(found.sample, renderer)
    profile = build_profile(source, opened, found, dialect, tuple(refused))
    eval_rows, overlap = _overlap(found, opened, eval_source)
    over = found.statistics.over(limit) if limit else (None, None)
    verdict = DataVerdict(
        profile=profile,
        max_seq_len=limit,
        counted_rows=len(measured),
        is_projected=len(measured) < found.usable,
        truncated_examples=over[0],
        truncated_tokens=over[1],
        fully_masked=_projected(sum(not one.supervised_within for one in measured), measured, found),
        supervised_share=_share(
            sum(m.supervised_within for m in measured), sum(min(m.tokens, limit or m.tokens) for m in measured)
        ),
        end_of_turn_share=_ends(measured, limit),
        end_token=dialect.eos_token if dialect else None,
        has_distinct_pad=_distinct_pad(dialect.pad_token, dialect.eos_token) if dialect else None,
        has_chat_template=dialect.template is not None if dialect else (model.has_chat_template if model else None),
        template_refused=tuple(refused[:20]),
        first_example=pieces,
        duplicate_lines=tuple(duplicates(found.digests, found.lines)[1]),
        eval_examples=eval_rows,
        eval_overlap=overlap,
        length_histogram=binned(found.statistics.brought(), _BINS),
    )
    dropped = profile.num_broken + (verdict.fully_masked or 0)
    verdict = msgspec.structs.replace(verdict, dropped_examples=dropped)
    findings = judge(verdict, leaks.finish() if leaks else [], leaks.missing if leaks else [], len(refused))
    return msgspec.structs.replace(verdict, findings=findings).allowing(allow)


def binned(histogram: dict[int, int], bins: int) -> dict[int, int]:
    """The histogram in `bins` equal bins up to its 99th percentile, then one, each under its upper bound."""
    (most,) = percentiles(histogram, (0.99,))
    width = max(1, -(-most // bins))
    merged: dict[int, int] = {}
    for length, count in histogram.items():
        bound = max(1, -(-length // width)) * width if length <= width * bins else max(histogram)
        merged[bound] = merged.get(bound, 0) + count
    return dict(sorted(merged.items()))


def _first_example(sample: list[Sampled], renderer: Renderer) -> tuple[Piece, ...]:
    for kept in sorted(sample, key=lambda one: one.line):
        try:
            rendered = renderer.render(kept.example)
        except RowError:
            continue
        pieces, at = [], 0
        for start, end in rendered.spans:
            pieces += [
                Piece(text=rendered.text[at:start], trained=False),
                Piece(text=rendered.text[start:end], trained=True),
            ]
            at = end
        pieces.append(Piece(text=rendered.text[at:], trained=False))
        return tuple(piece for piece in pieces if piece.text)
    return ()


def _overlap(found: Scan, opened: Source, eval_source: str | None) -> tuple[int | None, int | None]:
    """(evaluation examples, how many of them are trained on); (None, None) when there is no evaluation set."""
    if eval_source:
        rows = open_source(eval_source).rows()
    elif opened.eval_files:
        rows = opened.eval_rows()
    else:
        return None, None
    first = list(islice(rows, LOOKED_AT))
    kind = detect_format(first, eval_source or f"{opened.name} (evaluation)")
    held: dict[int, int] = {}
    for row in (*first, *rows):
        try:
            if row.value is not None:
                key = digest(normalise(row.value, kind))
                held[key] = held.get(key, 0) + 1
        except RowError:
            continue
    seen = {value for value in found.digests if value in held}
    return sum(held.values()), sum(held[value] for value in seen)


def _said(example: Example) -> str:
    if not example.messages:
        return example.text
    return "\n".join(message["content"] for message in example.messages)


def _projected(count: int, measured: list[Measured], found: Scan) -> int | None:
    return round(count / len(measured) * found.usable) if measured else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _ends(measured: list[Measured], limit: int | None) -> float | None:
    whole = [one for one in measured if limit is None or one.tokens <= limit]
    return _share(sum(one.ends for one in whole), len(whole))


def _distinct_pad(pad: str | None, eos: str | None) -> bool:
    return pad is not None and pad != eos
