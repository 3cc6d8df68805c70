"""The last recommendation, kept on this machine so that `explain last` can show it again."""

from __future__ import annotations

from pathlib import Path

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.commands.output import remark
from advisor.decide.recommendation import Recommendation
from trainers.folders import state_folder
from trainers.foreign.files import RECORD_BYTES, read_small_file
from trainers.writing import write_atomically


def last_file() -> Path:
    """Where it is kept."""
    return state_folder() / "last.json"


def remember(result: Recommendation) -> None:
    """Keep it. A folder that cannot be written costs a note on stderr, not the answer.

    Not forced to the disk: losing it with the power costs nobody anything, waiting would cost every answer.
    """
    try:
        # for the user's eyes: it holds paths, names of datasets and the machine
        write_atomically(last_file(), msgspec.json.encode(result), durable=False, private=True)
    except (OSError, RuntimeError) as error:
        remark(tr("note: the answer is not kept for `explain last`: {error}", error=error))


def last_answer() -> Recommendation | None:
    """The last recommendation, None where there is none that this version can read."""
    try:
        return recall()
    except InputError:
        return None


def recall() -> Recommendation:
    """The last recommendation. Raises InputError when there is none, or it is from another version."""
    from rules.check import fact_fault

    try:
        kept = msgspec.json.decode(read_small_file(last_file(), RECORD_BYTES), type=Recommendation)
        faults = [fault for path, value in kept.facts.items() if (fault := fact_fault(path, value))]
        if not faults:
            return kept
        what, why = tr("the last recommendation cannot be read"), faults[0][0]
    except FileNotFoundError:
        what, why = tr("there is no last recommendation"), tr("none was made on this machine yet")
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what, why = tr("the last recommendation cannot be read"), str(error)
    raise InputError(Problem(what=what, why=why, fix="sft-advisor --non-interactive --model M --dataset D"))
