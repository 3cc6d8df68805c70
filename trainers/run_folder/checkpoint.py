"""What a complete checkpoint is: seal it, check it, find the newest one to resume from, keep room for the next.

transformers writes straight into `checkpoint-N` and, on resume, takes the highest number and checks nothing: a
missing scheduler file restarts the learning rate without a word. Here a checkpoint counts when the files listed in
its COMPLETE.json, written last, are all there with the content that was written; one without that seal has to pass
the checks one by one. No torch in this file: the supervisor reads checkpoints too. Saving itself is in
trainers.training.saving.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import struct
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from trainers import amounts
from trainers.errors import DiskFull, PlanRefused
from trainers.foreign.files import RECORD_BYTES, inside, json_object, read_small_file
from trainers.foreign.text import whole_number
from trainers.language import tr
from trainers.run_folder import layout
from trainers.run_folder.shape import number
from trainers.writing import open_as_usual, write_atomically

SEAL = "COMPLETE.json"
SEAL_SCHEMA = "sft-advisor/checkpoint/v1"
QUARANTINE = "quarantine"
VERIFIED = ".verified.json"
VERIFIED_SECONDS = 600
"""How long a checkpoint whose sums were right counts as verified: long enough for the ranks of one start, each of
which looks for itself, and too short for a disk to rot."""
HASHING_THREADS = 4
"""hashlib lets go of the interpreter while it works, so the shards of a large checkpoint are read side by side."""
SAFETENSORS_HEADER_BYTES = 100_000_000
"""The bound that the safetensors library sets itself."""
SPARE_BYTES = 64 << 20
"""Room left beyond the checkpoint itself, for logs and the file system's own tables."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME = re.compile(r"checkpoint-(\d{1,15})")


class FileSeal(msgspec.Struct, frozen=True):
    """Size and digest of one file; version 0.1 kept the digests of files up to 1 MiB only."""

    bytes: int
    sha256: str | None = None


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """Content of COMPLETE.json: what was in the checkpoint when it was whole."""

    schema: str = SEAL_SCHEMA
    step: int
    world_size: int
    files: dict[str, FileSeal]


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint folder and what is wrong with it (empty: training can resume from it)."""

    path: Path
    step: int
    problems: tuple[str, ...] = ()

    @property
    def loss(self) -> float | None:
        """The last training loss logged before it was written; None when there is none."""
        return number(_last_log(self.path).get("loss"))


def written_by(path: Path) -> int | None:
    """How many processes wrote the checkpoint in this folder; None where no seal says so."""
    count = (json_object(path / SEAL) or {}).get("world_size")
    return count if isinstance(count, int) else None


def checkpoints_dir(run_dir: Path) -> Path:
    """Where a run keeps its checkpoints."""
    return run_dir / layout.CHECKPOINTS


def scan(run_dir: Path) -> list[Checkpoint]:
    """Every checkpoint of the run with its problems, newest step first. Touches nothing, and reads no large file:
    whether the contents are what was written is verified on resume.
    """
    folder = checkpoints_dir(run_dir)
    numbered = [
        (int(match[1]), path) for path in folder.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))
    ]
    return [
        Checkpoint(path=path, step=step, problems=tuple(checkpoint_problems(path, contents=False)))
        for step, path in sorted(numbered, reverse=True)
        if path.is_dir()
    ]


def find_resumable(run_dir: Path) -> Checkpoint | None:
    """The newest checkpoint that training can resume from, or None.

    Newer ones that are damaged are moved to `checkpoints/quarantine` (the last one is kept to look at), so that
    nothing later mistakes them for a checkpoint. Call it only while no process writes into the run.
    """
    folder = checkpoints_dir(run_dir)
    for leftover in folder.glob(".deleting-*"):
        shutil.rmtree(leftover)
    for checkpoint in scan(run_dir):
        problems = checkpoint.problems or tuple(checkpoint_problems(checkpoint.path))
        if not problems:
            return checkpoint
        quarantine(checkpoint.path, problems)
    return None


def choose_checkpoint(run_dir: Path, resume: str) -> Checkpoint | None:
    """What `--resume` asks for: `auto` the newest complete one, `never` none, anything else that folder.

    Raises PlanRefused when training cannot resume from the folder named.
    """
    if resume == "never":
        return None
    if resume == "auto":
        return find_resumable(run_dir)
    path = Path(resume)
    match = _NAME.fullmatch(path.name)
    problems = checkpoint_problems(path) if match and path.is_dir() else ["it is not a checkpoint-N folder"]
    if problems or match is None:
        raise PlanRefused(
            tr("cannot resume from {path}", path=path),
            why="; ".join(problems),
            fix=tr("use --resume auto for the newest complete checkpoint"),
        )
    return Checkpoint(path=path, step=int(match[1]))


def quarantine(path: Path, problems: Iterable[str]) -> None:
    """Move a checkpoint to `quarantine` beside it, with WHY.txt; the one that was there before goes."""
    folder = path.parent / QUARANTINE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    moved = path.rename(folder / path.name)
    (moved / "WHY.txt").write_text("\n".join(problems) + "\n")


def seal(path: Path, *, step: int, world_size: int) -> None:
    """Write COMPLETE.json as the last file of a checkpoint, after all others have reached the disk."""
    open_as_usual(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name not in (SEAL, VERIFIED))
    sizes = {}
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
            sizes[file] = file.stat().st_size
    sealed = {
        file.relative_to(path).as_posix(): FileSeal(sizes[file], digest) for file, digest in _digests(files).items()
    }
    content = Seal(step=step, world_size=world_size, files=sealed)
    write_atomically(path / SEAL, msgspec.json.format(msgspec.json.encode(content)))


def checkpoint_problems(path: Path, *, contents: bool = True) -> list[str]:
    """Why training cannot resume from this folder, each as a sentence; empty when it can.

    Without `contents` files are held to their sizes only, which reads next to nothing.
    """
    problems = _seal_problems(path, contents) if (path / SEAL).exists() else _unsealed_problems(path)
    return problems or _divergence_problems(path)


def rotate(run_dir: Path, keep: int, spare: Path | None = None) -> list[Path]:
    """Delete complete checkpoints beyond the newest `keep`. Return those deleted. `spare` (the best one) stays.

    A folder is renamed before it is emptied, so that a kill half-way leaves nothing that looks like a checkpoint.
    """
    old = [found.path for found in scan(run_dir) if not found.problems][keep:]
    doomed = [path for path in old if spare is None or path.resolve() != spare.resolve()]
    for path in doomed:
        grave = path.with_name(f".deleting-{path.name}")
        path.rename(grave)
        shutil.rmtree(grave)
    return doomed


def require_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise DiskFull unless `folder` has `needed_bytes` (and a little) free. Quotas are not seen by this."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes + SPARE_BYTES:
        raise DiskFull(
            tr(
                "no room for {what}: it needs {mib} and {spare} beyond it, and {folder} has {mib_2} free",
                what=what,
                mib=amounts.mib(needed_bytes),
                spare=amounts.mib(SPARE_BYTES),
                folder=folder,
                mib_2=amounts.mib(free_bytes),
            ),
            why=tr("stopped before writing, so that no checkpoint is lost"),
            fix=tr("free some space, then start the same run again: it resumes from the newest complete checkpoint"),
        )


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that the disk (or a quota, or a limit on file size) is full.

    The writers of torch and safetensors raise no OSError: one loses its place, the other only quotes the number.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    text = str(error)
    marks = [*(f"os error {number})" for number in _FULL), "inline_container", "PytorchStreamWriter", "No space left"]
    return any(mark in text for mark in marks)


@contextlib.contextmanager
def if_the_disk_holds_it() -> Iterator[None]:
    """While entered, a full disk is no failure: for words about how a run went, on which nothing may depend."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise


def _seal_problems(path: Path, contents: bool) -> list[str]:
    try:
        content = msgspec.json.decode(read_small_file(path / SEAL, RECORD_BYTES), type=Seal)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as error:
        return [f"{SEAL} cannot be read: {error}"]
    problems = []
    for name, expected in content.files.items():
        file = inside(path, name)
        if file is None:
            problems.append(f"{SEAL} names a file outside of the checkpoint")
        elif not file.is_file():
            problems.append(f"{name} is missing")
        elif (size := file.stat().st_size) != expected.bytes:
            problems.append(f"{name} has {size} bytes instead of {expected.bytes}")
    return problems or (_content_problems(path, content.files) if contents else [])


def _content_problems(path: Path, files: Mapping[str, FileSeal]) -> list[str]:
    """Files whose digest is another than the sealed one. What was right a moment ago is not read again."""
    stamps = {name: (path / name).stat().st_mtime_ns for name in files}
    verified = path / VERIFIED
    if json_object(verified) == stamps and 0 <= time.time() - verified.stat().st_mtime < VERIFIED_SECONDS:
        return []
    digests = _digests([path / name for name in files])
    problems = [
        f"{name} was changed after it was written"
        for name, expected in files.items()
        if expected.sha256 and digests[path / name] != expected.sha256
    ]
    if not problems:
        with contextlib.suppress(OSError):  # a folder that cannot be written to is verified each time
            write_atomically(verified, msgspec.json.encode(stamps))
    return problems


def _digests(files: Sequence[Path]) -> dict[Path, str]:
    def digest(file: Path) -> str:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    with ThreadPoolExecutor(HASHING_THREADS) as threads:
        return dict(zip(files, threads.map(digest, files), strict=True))


def _unsealed_problems(path: Path) -> list[str]:
    """The checks for a checkpoint without a seal: each names a way in which a resume would fail or differ."""
    step = int(path.name.rpartition("-")[2])
    state = json_object(path / "trainer_state.json")
    problems = []
    if state is None:
        problems.append("trainer_state.json is missing or cut off")
    elif state.get("global_step") != step:
        problems.append(f"trainer_state.json is of step {state.get('global_step')}")
    if (path / "checkpoint-is-incomplete.txt").exists():
        problems.append("it is marked as incomplete")
    return problems + _weight_problems(path) + _optimizer_problems(path) + _rng_problems(path)


def _weight_problems(path: Path) -> list[str]:
    sharded = [*path.glob("pytorch_model_fsdp_*"), *path.glob("global_step*")]
    tensors = list(path.glob("*.safetensors"))
    if not tensors and not sharded:
        return ["no weights"]
    listed = {name for index in path.glob("*.safetensors.index.json") for name in _shards(index)}
    missing = sorted(listed - {file.name for file in tensors})
    unreadable = [file.name for file in tensors if not _safetensors_whole(file)]
    empty = [folder.name for folder in sharded if not any(folder.iterdir())]
    return [f"{name} is missing or cut off" for name in (*missing, *unreadable, *empty)]


def _optimizer_problems(path: Path) -> list[str]:
    folders = [*path.glob("optimizer_*"), *path.glob("global_step*")]
    files = [file for file in (path / "optimizer.pt", path / "optimizer.bin") if file.exists()]
    problems = [] if folders or files else ["the optimizer's state is missing"]
    if not (path / "scheduler.pt").exists() and not list(path.glob("global_step*")):
        problems.append("scheduler.pt is missing: the learning rate would start over")
    archives = [*files, *path.glob("scheduler.pt")]
    return problems + [f"{file.name} is cut off" for file in archives if not _zip_whole(file)]


def _rng_problems(path: Path) -> list[str]:
    if (path / "rng_state.pth").exists():
        return []
    names = [file.stem.rpartition("_")[2] for file in path.glob("rng_state_*.pth")]
    ranks = sorted(rank for name in names if len(name) < 10 and (rank := whole_number(name)) is not None)
    if not ranks:
        return ["the random number state is missing"]
    return (
        []
        if ranks == list(range(len(ranks))) and len(ranks) > 1
        else ["the random number state of a rank is missing"]
    )


def _divergence_problems(path: Path) -> list[str]:
    last = _last_log(path)
    bad = [key for key in ("loss", "grad_norm") if last.get(key) and number(last[key]) is None]
    return [f"{key} was not finite when it was written" for key in bad]


def _last_log(path: Path) -> dict[str, Any]:
    """The last entry with a loss in the log of a checkpoint; empty when there is none."""
    history = (json_object(path / "trainer_state.json") or {}).get("log_history")
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    return next((entry for entry in reversed(entries) if "loss" in entry), {})


def _shards(index: Path) -> set[str]:
    listed = (json_object(index) or {}).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        return {f"{index.name} (its list)"}
    return {str(name) for name in listed.values()}


def _safetensors_whole(path: Path) -> bool:
    """Whether the header parses and the file is as long as the header says (8 bytes, header, tensors)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            return False
        (header_bytes,) = struct.unpack("<Q", prefix)
        if header_bytes > min(size, SAFETENSORS_HEADER_BYTES):
            return False
        try:
            header = json.loads(file.read(header_bytes))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError):
            return False
    if not all(isinstance(end, int) for end in ends):
        return False
    return bool(size == 8 + header_bytes + max(ends, default=0))


def _zip_whole(path: Path) -> bool:
    """Whether the archive's directory, which torch writes last, is readable."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, struct.error):
        return False
