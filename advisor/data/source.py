"""The advisor's door to datasets: the reader of trainers/examples, the hub behind it, its errors in our form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from advisor.base.errors import InputError, Problem, named_by
from advisor.base.language import tr
from advisor.base.sandbox import lock_down
from trainers.errors import ExamplesError
from trainers.examples import sets
from trainers.examples.sets import Sets
from trainers.foreign.files import bytes_at
from trainers.foreign.limits import allow, bounded_memory
from trainers.plan import DatasetRef

EVALUATION_FLAG = "--eval-dataset"


def sets_of(named: DatasetRef) -> Sets:
    """The sets that a dataset names. Raises ExamplesError, or MachineError when the hub cannot be reached."""
    from advisor.data.hub import fetch_dataset

    def fetch(repo: str) -> Path:
        with named_by(EVALUATION_FLAG if repo == named.eval_source else "--dataset"):
            return fetch_dataset(repo)

    file_bytes = sum(map(bytes_at, sets.places_of(named, fetch)))
    lock_down(file_bytes)  # before anything is read: which split evaluates stands in the rows
    allow(file_bytes)
    return sets.sets_of(named, fetch)


@contextmanager
def told_as_input() -> Iterator[None]:
    """Lets what the reader of examples cannot use be one of the problems of what the user gave; bounds its memory."""
    try:
        with bounded_memory():
            yield
    except MemoryError as error:
        fix = tr("write it as JSON lines, one example a line, and look for a line or value of an absurd size")
        what, why = tr("the dataset asks for too much memory"), tr("it unpacks to far more than its size on disk")
        raise InputError(Problem(what=what, why=why, fix=fix, where="--dataset")) from error
    except ExamplesError as error:
        flag = EVALUATION_FLAG if error.of_evaluation else "--dataset"
        raise InputError(Problem(what=error.what, why=error.why, fix=error.fix, where=flag)) from error
