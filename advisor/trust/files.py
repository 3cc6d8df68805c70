"""What lies in a folder that somebody else filled, told by names and first bytes: a name alone says what it likes.

Every file is seen, however deep, without following a link out; those that are read are documents of a small size.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from advisor.base.language import tr
from advisor.trust.archives import ZIP, Unlistable, is_archive, members
from advisor.trust.signs import hidden_text, leads_out, secret
from trainers.amounts import MIB
from trainers.foreign.files import inside, json_object, read_small_file
from trainers.foreign.text import brief, comment

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".keras", ".nemo", ".mar")
_PICKLES_BY_NAME = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib")
"""Those of them that are nothing else: any archive may hold a .bin, and every .npz holds .npy."""
PROGRAMS = (
    ".py", ".pyc", ".pyd", ".sh", ".so", ".dylib", ".dll", ".exe", ".com", ".scr", ".msi", ".jar", ".ipynb", ".bat",
    ".cmd", ".ps1", ".vbs", ".lnk", ".desktop", ".command", ".js", ".rb", ".pl", ".whl", ".egg", ".service",
    ".hta", ".wsf", ".reg", ".msc", ".chm", ".cpl", ".pif", ".url", ".webloc", ".scpt", ".appimage", ".deb", ".rpm",
    ".apk", ".dmg", ".iso", ".xlsm", ".docm", ".pptm",
)  # fmt: skip
RUN_BY_TOOLS = re.compile(
    r"(?:Docker|Container|Make|Just)file(?:\.\w+)?|\.gitmodules|\.envrc|\.npmrc|(?:docker-)?compose\.ya?ml"
    r"|\.vscode/(?:tasks|launch|settings)\.json|devcontainer\.json",
    re.IGNORECASE,
)
"""Files that are no programs, and that git, an editor or a builder takes orders from."""
_REQUIREMENTS = re.compile(r"(?:requirements|constraints)[\w.-]*\.txt|environment\.ya?ml", re.IGNORECASE)
_FROM_ELSEWHERE = re.compile(
    r"^\s*-?\s*(?:--?(?:extra-)?index-url|-i\b|--find-links|-f\b|(?:\S+\s*@\s*)?\w+(?:\+\w+)?://)\S*.*", re.MULTILINE
)
"""A package that comes from another place than the index that the reader has chosen."""
_YAML_OBJECT = re.compile(r"!!python/\S+")
"""What an unsafe loader of YAML calls."""
_MODELFILE = re.compile(r"^\s*(?:FROM|ADAPTER)\s+((?:/|~|\.\./|\w+://)\S*)", re.MULTILINE | re.IGNORECASE)
DOCUMENTS = (".md", ".rst", ".yaml", ".yml", ".cfg", ".ini", ".toml", ".env", ".html", ".htm")
WEIGHTS = (".safetensors", ".gguf")
LOGS = (".log",)
LISTS = (".safetensors.index.json", ".bin.index.json")
"""Endings of the files that say in which file each weight is."""
_STARTED = (b"#!", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe")
_GZIP = b"\x1f\x8b"
_PICKLED = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_PICKLED_AS_TEXT = re.compile(rb"\(*c[\w.]+\n\w+\n(?:\(|p\d+\n)")
"""Protocols 0 and 1 where they begin by naming what is to be called, and go on with its arguments."""
_HEAD_BYTES = 256
_DOCUMENT_BYTES = 1 * MIB
MOST_FILES = 100_000


class Lying(msgspec.Struct):
    """Names of what was found, relative to the folder."""

    programs: list[str] = []
    pickles: list[str] = []
    leading_out: list[str] = []
    hidden_text: list[str] = []
    secrets: list[str] = []
    damaged: list[str] = []
    templates: list[str] = []
    weights: list[str] = []
    ggufs: list[str] = []
    pages: list[str] = []


def lying_in(folder: Path) -> Lying:
    """What lies in a folder, up to MOST_FILES."""
    found, homes = Lying(), _homes(folder)
    files = _files(folder)
    for path in islice(files, MOST_FILES):
        _look(path, path.relative_to(folder).as_posix(), homes, found)
    if next(files, None) is not None:
        found.damaged.append(tr("it holds more than {count:,} files; the rest was not looked at", count=MOST_FILES))
    return found


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        if here.name == ".git":  # git's own, but for what it runs; a fresh clone holds samples of them
            hooks = here / "hooks"
            yield from sorted(one for one in hooks.glob("*") if one.suffix != ".sample")
            folders.clear()
            continue
        folders.sort()
        odd = [one for one in folders if (here / one).is_symlink() or one.endswith(WEIGHTS)]
        yield from (here / name for name in sorted([*names, *odd]))


def _homes(folder: Path) -> tuple[Path, ...]:
    """Where links may lead: into the folder itself; a hub cache links into its own blobs."""
    root = folder.resolve()
    return (root, root.parent.parent / "blobs")


def _look(path: Path, name: str, homes: tuple[Path, ...], found: Lying) -> None:
    if path.is_symlink() and not any(path.resolve().is_relative_to(home) for home in homes):
        found.leading_out.append(f"{name} -> {path.readlink()}")
        return
    if path.is_symlink() and path.is_dir():
        return
    try:
        size_bytes, head, last = _ends(path)
    except OSError as error:
        found.damaged.append(tr("{name} cannot be read: {strerror}", name=name, strerror=error.strerror))
        return
    ending = path.suffix.lower()
    looked_into = {".jinja": found.templates, ".safetensors": found.weights, ".gguf": found.ggufs}
    if ending in PICKLES or _is_pickle(head, last):
        found.pickles.append(name)
    elif _is_program(path, head):
        found.programs.append(name)
    elif ending in looked_into:
        looked_into[ending].append(name)
    elif name.endswith(LISTS):
        found.leading_out += _listed_outside(path, name)
    elif _is_document(path) and size_bytes <= _DOCUMENT_BYTES:
        _read(path, name, found)
    elif is_archive(name, head):
        _list(path, name, found)
    if ending in (".html", ".htm", ".xhtml", ".svg"):
        found.pages.append(name)


def _is_program(path: Path, head: bytes) -> bool:
    """Whether a system or a tool would run it, by its name or its first bytes."""
    return (
        path.suffix.lower() in PROGRAMS
        or any(RUN_BY_TOOLS.fullmatch(name) for name in ("/".join(path.parts[-2:]), path.name))
        or head.startswith(_STARTED)
        or (head[:2] == b"MZ" and b"\0" in head[:64])
    )


def _list(path: Path, name: str, found: Lying) -> None:
    """What an archive would put where, and what of it is a program: once it is unpacked nobody looks again."""
    try:
        for inner, target in members(path):
            said = f"{name}: {brief(comment(inner))}"
            if leads_out(inner) or (target and _leads_out_of(inner, target)):
                found.leading_out.append(said)
            elif Path(inner).suffix.lower() in _PICKLES_BY_NAME:
                found.pickles.append(said)
            elif Path(inner).suffix.lower() in PROGRAMS:
                found.programs.append(said)
    except Unlistable as error:
        found.damaged.append(f"{name}: {error}")


def _leads_out_of(link: str, target: str) -> bool:
    """Whether a link leads out of the folder that its archive is unpacked in."""
    place = os.path.normpath(os.path.join(os.path.dirname(link), target))  # noqa: PTH118, PTH120  none of this system's
    return target.startswith("/") or place.startswith("..")


def _ends(path: Path) -> tuple[int, bytes, bytes]:
    """Size, first bytes and last byte of a file. Raises OSError for what is none, and does not wait for it."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(0, tr("it is a pipe, a device or a folder, not a file"))
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, about.st_size - 1))
        return about.st_size, head, file.read(1)


def _is_pickle(head: bytes, last: bytes) -> bool:
    """A pickle alone, one that joblib packed, or the archive that torch.save makes around one."""
    if head.startswith(_GZIP):
        return _is_pickle(_unpacked(head), b".")
    return (last == b"." and (head.startswith(_PICKLED) or bool(_PICKLED_AS_TEXT.match(head)))) or (
        head.startswith(ZIP) and b".pkl" in head
    )


def _unpacked(head: bytes) -> bytes:
    """The first bytes of what gzip packed, of those of the file."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""


def _is_document(path: Path) -> bool:
    name = path.name
    return (
        path.suffix.lower() in (*DOCUMENTS, *LOGS)
        or name.startswith((".env", "Modelfile"))
        or bool(_REQUIREMENTS.fullmatch(name))
    )


def _read(path: Path, name: str, found: Lying) -> None:
    text = read_small_file(path, _DOCUMENT_BYTES).decode("utf-8", "replace")
    is_log = path.suffix.lower() in LOGS  # bars and colours are what terminals are told in
    for check, told in ((hidden_text, found.hidden_text), (secret, found.secrets)):
        if (said := check(text)) and not (is_log and check is hidden_text):
            told.append(f"{name}: {said}")
    ordered = _REQUIREMENTS.fullmatch(path.name) and _FROM_ELSEWHERE.search(text)
    if odd := ordered or _YAML_OBJECT.search(text):
        found.programs.append(f"{name}: {brief(comment(odd.group().strip()))}")
    if path.name.startswith("Modelfile"):
        found.leading_out += [f"{name}: {brief(comment(one))}" for one in _MODELFILE.findall(text)]


def _listed_outside(path: Path, name: str) -> list[str]:
    """Files outside of the folder that a list of weight files names."""
    listed = (json_object(path) or {}).get("weight_map")
    names = {str(one) for one in listed.values()} if isinstance(listed, dict) else set()
    return [
        tr("{name} names {name_2}", name=name, name_2=one)
        for one in sorted(names)
        if inside(path.parent, one) is None
    ]
