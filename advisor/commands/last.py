"""The last recommendation, kept on this machine so that `explain last` can show it again."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from advisor.commands.output import remark
from advisor.errors import InputError, Problem
from advisor.recommendation import Recommendation


def last_file() -> Path:
    """Where it is kept: $SFT_ADVISOR_HOME, else $XDG_STATE_HOME/sft-advisor, else ~/.local/state/sft-advisor."""
    own = os.environ.get("SFT_ADVISOR_HOME")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return (Path(own) if own else Path(state) / "sft-advisor") / "last.json"


def remember(result: Recommendation) -> None:
    """Keep it. A folder that cannot be written is no reason to withhold the answer: it is said on stderr.

    Not forced to the disk: losing it with the power costs nobody anything, waiting would cost every answer.
    """
    path = last_file()
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(msgspec.json.encode(result))
        new.replace(path)
    except (OSError, RuntimeError) as error:
        remark(f"note: the answer is not kept for `explain last`: {error}")


def recall() -> Recommendation:
    """The last recommendation. Raises InputError when there is none, or it is from another version."""
    try:
        return msgspec.json.decode(last_file().read_bytes(), type=Recommendation)
    except FileNotFoundError:
        what, why = "there is no last recommendation", "none was made on this machine yet"
    except (OSError, msgspec.MsgspecError) as error:
        what, why = "the last recommendation cannot be read", str(error)
    raise InputError(Problem(what=what, why=why, fix="sft-advisor --non-interactive --model M --dataset D"))
