"""The examples of a plan, tokenised once into the run folder, and what was found on the way.

    data = prepare(plan, tokenizer, run_dir, eos_token_id=...)
    data.train, data.eval      datasets with input_ids and labels, memory-mapped
    data.report                how many rows were broken, cut, fully masked, kept back

One process of each node writes; the others wait at a file lock, before any process group exists, so a long
tokenisation cannot run into a collective's time limit. A resume reads what is there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy

from trainers.errors import PlanRefused
from trainers.examples.example import Example, RowError, RowExcludedError
from trainers.examples.reader import Reader
from trainers.examples.sets import Sets, sets_of
from trainers.examples.source import Source, reader_of
from trainers.examples.spans import Rendered
from trainers.examples.tally import Proof
from trainers.language import tr
from trainers.plan import TrainingPlan
from trainers.run_folder import layout
from trainers.training.data_report import DataReport
from trainers.training.picture_files import PictureFiles
from trainers.training.rendering import Encoded, Renderer, end_tokens
from trainers.training.sight import Sight, sight_of
from trainers.training.split_files import SplitFile, split
from trainers.writing import write_atomically

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

LAYOUT = 5
"""Raised when the files below change meaning, so that an older run folder is tokenised again."""

BROKEN_SHOWN = 20
SAY_SECONDS = 10.0


@dataclass(frozen=True)
class PreparedData:
    """Tokenised sets, and the folder that holds them."""

    train: Dataset
    eval: Dataset | None
    report: DataReport
    folder: Path
    sight: Sight | None = None
    """What reads the pictures that rows name; None for a run on words alone."""

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
        indices = set(spread(len(self.eval), limit))
        with (self.folder / "eval.jsonl").open("rb") as file:
            kept = [line for number, line in enumerate(file) if number in indices]
        return [msgspec.json.decode(line, type=Example) for line in kept]


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

    `say` is called every few seconds with the progress of tokenising. Raises PlanRefused when none is named, its
    format is not known, or nothing is left to train on.
    """
    from filelock import FileLock

    if plan.dataset is None:
        raise PlanRefused(tr("the plan names no dataset"), fix=tr('add a [dataset] table with source = "..."'))
    folder = run_dir / layout.DATA
    folder.mkdir(parents=True, exist_ok=True)
    sets = sets_of(plan.dataset)
    sight = sight_of(plan, tokenizer)
    digest = _digest(plan, tokenizer, sets)
    with FileLock(folder / layout.LOCK):
        report = _already(folder, digest)
        if report is None:
            ends = end_tokens(tokenizer, eos_token_id)
            renderer = Renderer(tokenizer, ends, plan.loss_on, plan.leave_out, sight)
            report = _Preparation(plan, sets, renderer, folder, say or (lambda _: None)).run()
            ready = {"digest": digest, "report": msgspec.to_builtins(report)}
            write_atomically(folder / "data.json", json.dumps(ready, indent=1).encode())
    held = _open(folder / "eval.arrow") if report.eval_examples else None
    return PreparedData(_open(folder / "train.arrow"), held, report, folder, sight)


def _open(path: Path) -> Dataset:
    from datasets import Dataset

    return Dataset.from_file(str(path))


def _already(folder: Path, digest: str) -> DataReport | None:
    try:
        ready = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return msgspec.convert(ready["report"], DataReport) if ready.get("digest") == digest else None


def _digest(plan: TrainingPlan, tokenizer: PreTrainedTokenizerBase, sets: Sets) -> str:
    """What the tokenised files depend on: the source and its state on disk, the template, the cut and the mask."""
    stamps = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in sets.files()]
    parts = [LAYOUT, msgspec.to_builtins(plan.dataset), stamps, plan.max_seq_len, plan.loss_on]
    parts += [plan.leave_out, plan.seed, *([plan.max_pixels] if plan.reads_images else [])]
    parts += [tokenizer.chat_template, len(tokenizer), tokenizer.name_or_path]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class _Preparation:
    """One pass over the source to decide what is kept back, one to render, tokenise, cut and write."""

    def __init__(
        self,
        plan: TrainingPlan,
        sets: Sets,
        renderer: Renderer,
        folder: Path,
        say: Callable[[str], object],
    ) -> None:
        self.plan, self.sets, self.renderer, self.folder, self.say = plan, sets, renderer, folder, say
        self.pictures = PictureFiles(renderer, folder) if renderer.sight else None
        self.last_said = time.monotonic()
        named = sets.named
        self.reader = reader_of(sets.train, named.format, named.columns)
        self.report = DataReport(format=self.reader.layout.name, proof=Proof(loss_on=plan.loss_on))
        self.report.notes += [f"{file} was changed since it was checked" for file in sets.changed()]

    def run(self) -> DataReport:
        held_back = self._held_back()
        kept = SplitFile(self.folder, "eval", pictures=self.pictures is not None)
        train = SplitFile(self.folder, "train", pictures=self.pictures is not None)
        with kept, train:
            for line, example in self._examples():
                if held_back >= 0 and _key(example, self.plan.seed) <= held_back:
                    self._keep_back(kept, line, example)
                elif self._is_trained(example):
                    self._add_train(train, line, example)
            if self.sets.eval:
                self._evaluate_on(self.sets.eval, kept)
        self._check()
        self.report.proof.summed_up()
        return self.report

    def _is_trained(self, example: Example) -> bool:
        """A smaller share is part of every larger one, and equal examples go together."""
        share = self.sets.named.train_fraction
        return share is None or _key(example, self.plan.seed + 1) < share * 2**64

    def _held_back(self) -> int:
        """The largest key that goes to evaluation; -1 when nothing does.

        A key is a digest of the example itself, so equal examples always fall on the same side, and the choice
        depends neither on the order of the rows nor on the machine.
        """
        fraction = self.sets.named.eval_fraction
        if self.sets.eval or not fraction:
            return -1
        rows = (row for _, row in _read(self.sets.train, self.reader) if isinstance(row, Example))
        keys = numpy.sort(numpy.fromiter((_key(row, self.plan.seed) for row in rows), dtype=numpy.uint64))
        below_largest = keys[: numpy.searchsorted(keys, keys[-1])] if len(keys) else keys
        if not len(below_largest):
            return -1
        number_held = max(1, round(fraction * len(keys)))
        return int(below_largest[min(number_held, len(below_largest)) - 1])

    def _examples(self) -> Iterator[tuple[int, Example]]:
        """(line, example) of each usable row of the training set."""
        for line, row in _read(self.sets.train, self.reader):
            self.report.rows += 1
            if isinstance(row, Example):
                yield line, row
            elif isinstance(row, RowExcludedError):
                self.report.excluded += 1
            else:
                self._broken(line, row)

    def _broken(self, line: int, error: RowError) -> None:
        self.report.broken += 1
        if len(self.report.broken_rows) < BROKEN_SHOWN:
            self.report.broken_rows.append(f"row {line}: {error}")

    def _encode(self, line: int, example: Example) -> list[Encoded]:
        """The example in max_seq_len, in several pieces where it is a longer text; [] for what is not trained on."""
        if time.monotonic() - self.last_said > SAY_SECONDS:
            self.last_said = time.monotonic()
            self.say(tr("tokenised {rows:,} rows", rows=self.report.rows))
        found = self._proven(line, example, self.report.proof, self.sets.train)
        if isinstance(found, RowError):
            self._broken(line, found)
            return []
        rendered, whole = found
        pieces = self._within(whole, rendered)
        surplus = max(0, len(whole.input_ids) - self.plan.max_seq_len)
        if surplus and rendered.is_plain:
            self.report.split_texts += 1
        elif surplus:
            self.report.truncated_examples += 1
            self.report.truncated_tokens += surplus
        if not pieces:
            self.report.masked_examples += bool(not rendered.shown or rendered.answers)
            self.report.shown_examples += bool(rendered.shown and not rendered.answers)
        return pieces

    def _proven(
        self, line: int, example: Example, proof: Proof, source: Source
    ) -> tuple[Rendered, Encoded] | RowError:
        """The example marked and tokenised, and counted in `proof`; why not, for one that cannot be."""
        try:
            rendered = self.renderer.marker.mark(example)
            if self.pictures and example.images:
                rendered, whole = self.pictures.tokenised(rendered, example, source, self.plan.max_seq_len)
            else:
                whole = self.renderer.tokenise(rendered)
        except RowError as error:
            proof.refuse(error, line)
            return error
        proof.add(example, rendered)
        return rendered, whole

    def _within(self, whole: Encoded, rendered: Rendered) -> list[Encoded]:
        """The example in max_seq_len: cut, or split where it is plain text; [] when no answer is left of it."""
        limit = self.plan.max_seq_len
        if len(whole.input_ids) > limit and rendered.is_plain:
            return list(split(whole, limit))
        if len(whole.input_ids) > limit:
            labels = whole.labels[:limit]
            ends = any(label in self.renderer.end_ids for label in labels)
            whole = Encoded(whole.input_ids[:limit], labels, ends, whole.pictures)
        return [whole] if whole.supervised else []

    def _add_train(self, part: SplitFile, line: int, example: Example) -> None:
        pieces = self._encode(line, example)
        self.report.train_examples += bool(pieces)
        for encoded in pieces:
            part.add(encoded)
            self.report.train_sequences += 1
            self.report.train_tokens += len(encoded.input_ids)
            self.report.supervised_tokens += encoded.supervised
            self.report.longest = max(self.report.longest, len(encoded.input_ids))
            self.report.without_end += not encoded.ends

    def _keep_back(self, part: SplitFile, line: int, example: Example) -> None:
        pieces = self._encode(line, example)
        self.report.eval_examples += bool(pieces)
        for encoded in pieces:
            part.add(encoded, self._kept(example, encoded))

    @staticmethod
    def _kept(example: Example, encoded: Encoded) -> Example:
        """The example with its pictures under the names by which the run finds them."""
        return msgspec.structs.replace(example, images=encoded.pictures) if encoded.pictures else example

    def _evaluate_on(self, source: Source, part: SplitFile) -> None:
        """Adds a named evaluation set, with counts and a proof of its own."""
        report, proof = self.report, Proof(loss_on=self.plan.loss_on)
        for line, row in _read(source, reader_of(source, columns=self.sets.named.columns)):
            if isinstance(row, RowExcludedError):
                continue
            found = self._proven(line, row, proof, source) if isinstance(row, Example) else row
            if isinstance(found, RowError):
                report.eval_broken += 1
                continue
            pieces = self._within(found[1], found[0])
            report.eval_examples += bool(pieces)
            for encoded in pieces:
                part.add(encoded, self._kept(row, encoded) if isinstance(row, Example) else None)
        report.eval_proof = proof.summed_up()

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
            tr("nothing is left to train on in {name}", name=self.sets.train.name),
            why="; ".join(reasons) or tr("it holds no example"),
            fix=tr("raise max_seq_len, or repair the rows named"),
        )


def _read(source: Source, reader: Reader) -> Iterator[tuple[int, Example | RowError]]:
    """(line, example) of each row, or what keeps it out."""
    for row in source.rows():
        try:
            yield row.line, reader.example(row)
        except RowError as error:
            yield row.line, error


def _key(example: Example, seed: int) -> int:
    """A number that depends on nothing but the example and the seed."""
    text = msgspec.json.encode([seed, example], order="deterministic")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
