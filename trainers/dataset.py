"""The examples of a plan, tokenised once into the run folder, and what was found on the way.

    data = prepare(plan, tokenizer, run_dir, eos_token_id=...)
    data.train, data.eval      datasets with input_ids and labels, memory-mapped
    data.report                how many rows were broken, cut, fully masked, kept back

One process of each node writes; the others wait at a file lock, before any process group exists, so a long
tokenisation cannot run into a collective's time limit. A resume reads what is there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy

from trainers.conversations import Example, RowError, format_of, normalise, require_format
from trainers.errors import PlanRefused
from trainers.plan import DatasetFormat, DatasetRef, TrainingPlan, write_atomically
from trainers.rendering import Encoded, Renderer, end_tokens
from trainers.rows import read_rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

LAYOUT = 2
"""Raised when the files below change meaning, so that an older run folder is tokenised again."""

BROKEN_SHOWN = 20
CHUNK_ROWS = 1000
SAY_SECONDS = 10.0


class DataReport(msgspec.Struct, kw_only=True):
    """What became of the rows. Examples are counted after broken rows were left out; tokens are the model's own."""

    format: DatasetFormat
    rows: int = 0
    broken: int = 0
    broken_rows: list[str] = []
    """The first few, as `row 17: what is wrong`."""
    train_examples: int = 0
    eval_examples: int = 0
    train_tokens: int = 0
    supervised_tokens: int = 0
    """Training tokens that the loss looks at."""
    longest: int = 0
    """Tokens of the longest training example after truncation."""
    truncated_examples: int = 0
    truncated_tokens: int = 0
    masked_examples: int = 0
    """Dropped, because nothing of an answer was left within max_seq_len."""
    without_end: int = 0
    """Kept examples whose labels hold no token that stops generation (an answer that was cut)."""
    notes: list[str] = []


@dataclass(frozen=True)
class PreparedData:
    """Tokenised sets, and the folder that holds them."""

    train: Dataset
    eval: Dataset | None
    report: DataReport
    folder: Path

    def largest_token_id(self) -> int:
        """The largest token id in either set."""
        import pyarrow.compute as pc

        sets = [self.train, *([self.eval] if self.eval is not None else [])]
        return max(int(pc.max(pc.list_flatten(one.with_format("arrow")[:]["input_ids"])).as_py()) for one in sets)

    def eval_rows(self, limit: int) -> Dataset | None:
        """At most `limit` kept-back rows, tokenised, from everywhere in the set."""
        return self.eval.select(spread(len(self.eval), limit)) if self.eval is not None else None

    def eval_examples(self, limit: int) -> list[Example]:
        """The same rows as `eval_rows` in their normalised form."""
        if self.eval is None:
            return []
        wanted = set(spread(len(self.eval), limit))
        with (self.folder / "eval.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line) for number, line in enumerate(file) if number in wanted]


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` indices below `count`, evenly spaced: a sorted file is then looked at everywhere."""
    taken = min(count, limit)
    return [index * count // taken for index in range(taken)]


def prepare(
    plan: TrainingPlan,
    tokenizer: PreTrainedTokenizerBase,
    run_dir: Path,
    eos_token_id: int | list[int] | None = None,
    say: Callable[[str], object] | None = None,
) -> PreparedData:
    """Tokenise, split and write the plan's dataset, or read what an earlier start wrote.

    `say` is told every few seconds how far a long tokenisation is. Raises PlanRefused when no dataset is named, its
    format is not known, or nothing is left to train on.
    """
    from filelock import FileLock

    if plan.dataset is None:
        raise PlanRefused("the plan names no dataset", fix='add a [dataset] table with source = "..."')
    folder = run_dir / "data"
    folder.mkdir(parents=True, exist_ok=True)
    digest = _digest(plan, tokenizer)
    with FileLock(folder / ".lock"):
        report = _already(folder, digest)
        if report is None:
            renderer = Renderer(tokenizer, end_tokens(tokenizer, eos_token_id), plan.loss_on)
            report = _Preparation(plan, plan.dataset, renderer, folder, say or (lambda _: None)).run()
            ready = {"digest": digest, "report": msgspec.to_builtins(report)}
            write_atomically(folder / "data.json", json.dumps(ready, indent=1).encode())
    return PreparedData(
        _open(folder / "train.arrow"), _open(folder / "eval.arrow") if report.eval_examples else None, report, folder
    )


def _open(path: Path) -> Dataset:
    from datasets import Dataset

    return Dataset.from_file(str(path))


def _already(folder: Path, digest: str) -> DataReport | None:
    try:
        ready = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return msgspec.convert(ready["report"], DataReport) if ready.get("digest") == digest else None


def _digest(plan: TrainingPlan, tokenizer: PreTrainedTokenizerBase) -> str:
    """What the tokenised files depend on: the source and its state on disk, the template, the cut and the mask."""
    assert plan.dataset is not None
    files = [Path(name) for name in (plan.dataset.source, plan.dataset.eval_source) if name]
    stamps = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    parts = [LAYOUT, msgspec.to_builtins(plan.dataset), stamps, plan.max_seq_len, plan.loss_on, plan.seed]
    parts += [tokenizer.chat_template, len(tokenizer), tokenizer.name_or_path]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class _Preparation:
    """One pass over the source to decide what is kept back, one to render, tokenise, cut and write."""

    def __init__(
        self,
        plan: TrainingPlan,
        source: DatasetRef,
        renderer: Renderer,
        folder: Path,
        say: Callable[[str], object],
    ) -> None:
        self.plan, self.source, self.renderer, self.folder, self.say = plan, source, renderer, folder, say
        self.last_said = time.monotonic()
        self.report = DataReport(format=self._format())

    def run(self) -> DataReport:
        held_back = self._held_back()
        kept = _Split(self.folder, "eval")
        train = _Split(self.folder, "train")
        with kept, train:
            for example, key in self._examples(self.source.source, self.source.split):
                if key <= held_back:
                    self._add_eval(kept, example)
                else:
                    self._add_train(train, example)
            if self.source.eval_source:
                for example, _ in self._examples(self.source.eval_source, self.source.split, count=False):
                    self._add_eval(kept, example)
        self._check()
        return self.report

    def _format(self) -> DatasetFormat:
        columns: list[str] = []
        broken: list[str] = []
        for number, row in itertools.islice(read_rows(self.source.source, self.source.split), CHUNK_ROWS):
            if isinstance(row, str):
                broken.append(f"row {number} {row}")
                continue
            columns = columns or list(row)
            if found := self.source.format or format_of(row):
                return found
        if not columns:
            raise PlanRefused(
                f"no row of {self.source.source} can be read",
                why="; ".join(broken[:3]) or "it holds no rows",
                fix="give JSON lines, JSON, CSV or parquet, in UTF-8",
            )
        return require_format(None, columns, self.source.source)

    def _held_back(self) -> int:
        """The largest key that goes to evaluation; -1 when nothing does.

        A key is a digest of the example itself, so equal examples always fall on the same side, and the choice
        depends neither on the order of the rows nor on the machine.
        """
        fraction = self.source.eval_fraction
        if self.source.eval_source or not fraction:
            return -1
        rows = self._examples(self.source.source, self.source.split, count=False)
        keys = numpy.sort(numpy.fromiter((key for _, key in rows), dtype=numpy.uint64))
        below_largest = keys[: numpy.searchsorted(keys, keys[-1])] if len(keys) else keys
        if not len(below_largest):
            return -1
        wanted = max(1, round(fraction * len(keys)))
        return int(below_largest[min(wanted, len(below_largest)) - 1])

    def _examples(self, source: str, split: str, *, count: bool = True) -> Iterator[tuple[Example, int]]:
        for number, row in read_rows(source, split):
            try:
                if isinstance(row, str):
                    raise RowError(row)
                example = normalise(row, self.report.format)
                key = _key(example, self.plan.seed)
            except RowError as error:
                self._broken(number, error, count)
                continue
            self.report.rows += count
            yield example, key

    def _broken(self, number: int, error: RowError, count: bool = True) -> None:
        self.report.rows += count
        self.report.broken += count
        if count and len(self.report.broken_rows) < BROKEN_SHOWN:
            self.report.broken_rows.append(f"row {number}: {error}")

    def _encode(self, example: Example) -> Encoded | None:
        """The example cut to max_seq_len; None when it is broken or nothing of an answer is left."""
        if time.monotonic() - self.last_said > SAY_SECONDS:
            self.last_said = time.monotonic()
            self.say(f"tokenised {self.report.rows:,} rows")
        try:
            whole = self.renderer.encode(example)
        except RowError as error:
            self.report.broken += 1
            if len(self.report.broken_rows) < BROKEN_SHOWN:
                self.report.broken_rows.append(str(error))
            return None
        limit = self.plan.max_seq_len
        surplus = max(0, len(whole.input_ids) - limit)
        if not surplus and whole.supervised:
            return whole
        self.report.truncated_examples += surplus > 0
        self.report.truncated_tokens += surplus
        labels = whole.labels[:limit]
        ends = any(label in self.renderer.end_ids for label in labels)
        cut = Encoded(whole.input_ids[:limit], labels, ends)
        if not cut.supervised:
            self.report.masked_examples += 1
            return None
        return cut

    def _add_train(self, split: _Split, example: Example) -> None:
        encoded = self._encode(example)
        if encoded is None:
            return
        split.add(encoded)
        self.report.train_examples += 1
        self.report.train_tokens += len(encoded.input_ids)
        self.report.supervised_tokens += encoded.supervised
        self.report.longest = max(self.report.longest, len(encoded.input_ids))
        self.report.without_end += not encoded.ends

    def _add_eval(self, split: _Split, example: Example) -> None:
        encoded = self._encode(example)
        if encoded is None:
            return
        split.add(encoded, example)
        self.report.eval_examples += 1

    def _check(self) -> None:
        report = self.report
        if report.train_examples:
            return
        reasons = [f"{report.broken} of {report.rows} rows are broken"] if report.broken else []
        reasons += report.broken_rows[:3]
        if report.masked_examples:
            reasons.append(
                f"{report.masked_examples} have no token of an answer within max_seq_len = {self.plan.max_seq_len}"
            )
        raise PlanRefused(
            f"nothing is left to train on in {self.source.source}",
            why="; ".join(reasons) or "it holds no example",
            fix="raise max_seq_len, or repair the rows named",
        )


class _Split:
    """Writes one tokenised set as an Arrow stream (and its examples as JSON lines), renamed when it is whole."""

    def __init__(self, folder: Path, name: str) -> None:
        self.arrow, self.lines = folder / f"{name}.arrow", folder / f"{name}.jsonl"
        self.rows: list[Encoded] = []
        self.examples = name == "eval"

    def __enter__(self) -> _Split:
        import pyarrow as pa

        ids = pa.list_(pa.int32())
        self.schema = pa.schema([("input_ids", ids), ("labels", ids), ("length", pa.int32())])
        self.writer = pa.ipc.new_stream(str(_part(self.arrow)), self.schema)
        self.file = _part(self.lines).open("w", encoding="utf-8") if self.examples else None
        return self

    def add(self, encoded: Encoded, example: Example | None = None) -> None:
        self.rows.append(encoded)
        if self.file is not None:
            self.file.write(json.dumps(example, ensure_ascii=False) + "\n")
        if len(self.rows) >= CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = [
            pa.array([row.input_ids for row in self.rows], self.schema.field("input_ids").type),
            pa.array([row.labels for row in self.rows], self.schema.field("labels").type),
            pa.array([len(row.input_ids) for row in self.rows], pa.int32()),
        ]
        self.writer.write_batch(pa.record_batch(columns, schema=self.schema))
        self.rows = []

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None and self.rows:
            self._flush()
        self.writer.close()
        if self.file is not None:
            self.file.close()
        if kind is None:
            _part(self.arrow).replace(self.arrow)
            if self.examples:
                _part(self.lines).replace(self.lines)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _key(example: Example, seed: int) -> int:
    """A number that depends on nothing but the example and the seed. Raises RowError for text that is none."""
    text = json.dumps([seed, example], sort_keys=True, ensure_ascii=False, default=str)
    try:
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    except UnicodeEncodeError as error:
        raise RowError("holds half a character (a lone surrogate), which no tokenizer takes") from error


def verdict(data: PreparedData, said: list[str]) -> str:
    """What was found, in a few lines for the log."""
    report = data.report
    lines = [
        f"data: {report.train_examples:,} examples to train on ({report.format}), {report.eval_examples:,} kept "
        f"back; {report.train_tokens:,} tokens, {share(report.supervised_tokens, report.train_tokens)} of them "
        f"learnt; longest {report.longest:,}"
    ]
    if report.broken:
        lines.append(f"  {report.broken:,} rows left out as broken, such as {'; '.join(report.broken_rows[:2])}")
    if report.truncated_examples:
        lines.append(f"  {report.truncated_examples:,} examples cut, {report.truncated_tokens:,} tokens lost")
    if report.masked_examples:
        lines.append(f"  {report.masked_examples:,} examples left out: nothing of an answer within the length")
    return "\n".join([*lines, *(f"  {note}" for note in said)])


def share(part: int, whole: int) -> str:
    """A part as per cent."""
    return f"{100 * part / whole:.0f} %" if whole else "none"


def as_record(data: PreparedData, said: list[str]) -> dict[str, Any]:
    """The report for run.json."""
    return {**msgspec.to_builtins(data.report), "notes": [*data.report.notes, *said]}
