"""Read a folder of rules: every file checked, every problem reported at once, the result cached by content.

A cold load with a warm cache reads the files, hashes them and decodes one blob; without a cache it also parses and
compiles. A cache that cannot be read or written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from cel_expr_python import cel

from rules.check import check_book, check_rule, field_layers
from rules.errors import RuleError, RuleProblem, did_you_mean, place
from rules.expressions import facts_of, new_environment
from rules.facts import FACTS
from rules.rule import (
    EFFECTS,
    ENGLISH,
    MAX_FILE_BYTES,
    MAX_FILE_KIB,
    MAX_FILES,
    REQUIRED_KEYS,
    RULE_KEYS,
    STRENGTHS,
    Rule,
    Source,
)

BOOK = Path(__file__).parent / "book"
SOURCES_NAME = "sources.toml"
CACHE_SCHEMA = 3
MAX_CACHE_BYTES = 64 << 20
_SEAL_BYTES = hashlib.sha256().digest_size
"""A cache begins with the digest of the rest: what a disk or a hand has changed is built anew."""
KEPT_CACHES = 8
LOCK_NAME = "rules.lock"


class LoadedBook(msgspec.Struct, frozen=True):
    """Checked rules, the bibliography, and each expression in compiled form."""

    rules: tuple[Rule, ...]
    sources: dict[str, Source]
    compiled: dict[str, bytes]
    reads: dict[str, tuple[str, ...]]
    """Expression -> facts that it reads for their value."""
    layers: tuple[tuple[str, ...], ...]
    """Plan fields in the order in which set rules fill them."""
    digest: str


def load(extra: Path | None = None, cache: Path | None = None, language: str = ENGLISH) -> LoadedBook:
    """The bundled book, with an organisation's folder on top. Raises RuleError with every problem.

    `cache` is a folder, which need not exist, for the checked and compiled form; its sentences are in `language`.
    """
    files = dict(_read_folder(BOOK))
    files[BOOK.parent / SOURCES_NAME] = (BOOK.parent / SOURCES_NAME).read_bytes()
    own = _not_bundled(_read_folder(extra), files) if extra is not None else {}
    digest = _digest({**files, **own}, language)
    kept = cache / f"rules-{digest[:24]}.msgpack" if cache else None
    if kept is None:
        return _build(files, own, digest, language)
    cached = _read_cache(kept, digest)
    if cached is not None:
        return cached
    with _one_builder(kept.parent):
        # whoever waited for another to build it finds it there
        book = _read_cache(kept, digest)
        if book is None:
            book = _build(files, own, digest, language)
            _write_cache(kept, book)
    return book


def _not_bundled(found: Iterable[tuple[Path, bytes]], bundled: Iterable[Path]) -> dict[Path, bytes]:
    """The files that are not the book's own: a folder of the book laid on top of it would hold each rule twice."""
    there = {path.resolve() for path in bundled}
    return {path: content for path, content in found if path.resolve() not in there}


@contextlib.contextmanager
def _one_builder(folder: Path) -> Iterator[None]:
    """Let one process of many that start at once, a cluster's job array say, compile the book while the others wait.

    Where the folder cannot be written or locked each builds for itself.
    """
    try:
        import fcntl

        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (ImportError, OSError):
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _read_folder(folder: Path) -> Iterator[tuple[Path, bytes]]:
    if not folder.is_dir():
        raise RuleError(
            RuleProblem(
                what=f"{folder} is not a folder of rules",
                why="a rule book is a folder that holds one TOML file per rule",
                fix="Give the folder, or write a first rule into it with `sft-advisor rules new`.",
            )
        )
    paths = sorted(_toml_files(folder), key=os.fspath)
    if len(paths) > MAX_FILES:
        raise RuleError(RuleProblem(what=f"{folder} holds {len(paths)} files; at most {MAX_FILES} are read"))
    for path in paths:
        yield path, _read_file(path)


def _toml_files(folder: Path | str) -> Iterator[Path]:
    """Rule files in a folder and below it. Pipes and devices are passed by: reading one could wait for ever."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _toml_files(entry.path)
            elif entry.name.endswith(".toml") and (entry.is_file() or _leads_nowhere(entry)):
                yield Path(entry.path)


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not Path(entry.path).exists()


def _read_file(path: Path) -> bytes:
    """The bytes of a file, cut just past the limit so that a huge file costs no memory."""
    limit = MAX_FILE_BYTES * 4 if path.name == SOURCES_NAME else MAX_FILE_BYTES + 1
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        what = f"cannot read the rule: {error.strerror}"
        fix = "Make it readable, or take it out of the folder."
        raise RuleError(RuleProblem(what=what, fix=fix, where=str(path))) from error


def _build(files: Mapping[Path, bytes], own: Mapping[Path, bytes], digest: str, language: str) -> LoadedBook:
    problems: list[RuleProblem] = []
    sources = {**parse_sources(files, problems), **parse_sources(own, problems)}
    bundled = _parse_rules(files, BOOK, problems)
    added = _parse_rules(own, None, problems)
    compiled: dict[str, bytes] = {}
    environment = new_environment()
    for rule, text in (*bundled, *added):
        problems += check_rule(rule, text, sources, environment, compiled)
    rules = _merge([rule for rule, _ in bundled], [rule for rule, _ in added], problems)
    problems += check_book(rules)
    if problems:
        raise RuleError(*problems)
    reads = {text: facts_of(text) for text in compiled}
    worded = tuple(rule.worded(language) for rule in rules)
    return LoadedBook(worded, sources, compiled, reads, field_layers(rules)[0], digest)


def parse_sources(files: Mapping[Path, bytes], problems: list[RuleProblem]) -> dict[str, Source]:
    """Every `sources.toml` among the files, as one bibliography."""
    sources: dict[str, Source] = {}
    for path, content in files.items():
        if path.name != SOURCES_NAME:
            continue
        raw = _parse_toml(path, content, problems)
        for key, entry in (raw or {}).items():
            try:
                sources[key] = msgspec.convert(entry, Source)
            except msgspec.ValidationError as error:
                problems.append(RuleProblem(what=f"source {key!r}: {error}", where=str(path)))
    return sources


def _parse_rules(
    files: Mapping[Path, bytes], root: Path | None, problems: list[RuleProblem]
) -> list[tuple[Rule, str]]:
    rules = []
    for path, content in files.items():
        if path.name == SOURCES_NAME:
            continue
        rule = parse_rule(path, content, problems, group=path.parent.name if root else "policy")
        if rule is not None:
            rules.append((rule, content.decode()))
    return rules


def parse_rule(path: Path, content: bytes, problems: list[RuleProblem], group: str = "policy") -> Rule | None:
    """One rule from the bytes of its file; None (and the reasons in `problems`) when it has not even the shape."""
    if len(content) > MAX_FILE_BYTES:
        problems.append(
            RuleProblem(
                what=f"the file is larger than {MAX_FILE_KIB} KiB",
                why="one file is one rule, about one screen",
                fix="Split it: one file per rule.",
                where=str(path),
            )
        )
        return None
    raw = _parse_toml(path, content, problems)
    if raw is None:
        return None
    shape = _shape_problems(path, content.decode(), raw)
    problems += shape
    if shape:
        return None
    try:
        return msgspec.convert({**raw, "group": group, "path": _relative(path)}, Rule)
    except msgspec.ValidationError as error:
        problems.append(_conversion_problem(path, content.decode(), str(error)))
        return None


def _parse_toml(path: Path, content: bytes, problems: list[RuleProblem]) -> dict[str, Any] | None:
    import tomllib  # late: with a warm cache nothing is parsed

    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        problems.append(RuleProblem(what=f"not UTF-8 text: {error.reason}", fix="Save it as UTF-8.", where=str(path)))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = re.search(r"line (\d+)", str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        problems.append(
            RuleProblem(
                what=f"not valid TOML: {error}",
                fix="Compare it with a file of rules/book, or start from `sft-advisor rules new`.",
                where=where,
            )
        )
    except ValueError as error:  # Python reads no integer of thousands of digits
        problems.append(RuleProblem(what=f"a number that no rule needs: {error}", where=str(path)))
    return None


def _shape_problems(path: Path, text: str, raw: dict[str, Any]) -> list[RuleProblem]:
    problems = [
        RuleProblem(
            what=f"a rule has no key {key!r}",
            fix=did_you_mean(key, RULE_KEYS, f"The keys are {', '.join(RULE_KEYS)}."),
            where=place(path, text, key),
        )
        for key in raw
        if key not in RULE_KEYS
    ]
    problems += [
        RuleProblem(what=f"the key {key!r} is missing", fix=f"Add: {key} = ...", where=str(path))
        for key in REQUIRED_KEYS
        if key not in raw
    ]
    return problems


def _conversion_problem(path: Path, text: str, message: str) -> RuleProblem:
    field = re.search(r"at `\$\.?\[?'?(\w+)", message)
    where = place(path, text, field[1]) if field else str(path)
    invalid = re.search(r"Invalid enum value '([^']*)'", message)
    allowed = _allowed_values(field[1] if field else "")
    fix = did_you_mean(invalid[1], allowed, f"It can be {', '.join(allowed)}.") if invalid and allowed else ""
    return RuleProblem(what=message, fix=fix, where=where)


def _allowed_values(field: str) -> tuple[str, ...]:
    return {"effect": EFFECTS, "strength": STRENGTHS, "cases": ("fires", "silent", "unknown")}.get(field, ())


def _relative(path: Path) -> str:
    return str(path.relative_to(BOOK.parent)) if path.is_relative_to(BOOK.parent) else str(path)


def _merge(bundled: list[Rule], added: list[Rule], problems: list[RuleProblem]) -> list[Rule]:
    """Bundled rules, with those that are replaced taken out and the organisation's own put in; ordered by id."""
    ids = {rule.id for rule in bundled}
    for rule in added:
        if rule.replaces and rule.replaces not in ids:
            fix = did_you_mean(rule.replaces, ids, "`sft-advisor rules list` shows the ids.")
            what = f"{rule.id} replaces {rule.replaces!r}, which does not exist"
            problems.append(RuleProblem(what=what, fix=fix, where=rule.path))
    replaced = {rule.replaces for rule in added if rule.replaces}
    return sorted([rule for rule in bundled if rule.id not in replaced] + added, key=lambda rule: rule.id)


def _digest(files: Mapping[Path, bytes], language: str) -> str:
    digest = hashlib.sha256(f"{CACHE_SCHEMA} {_cel_build()} {RULE_KEYS} {language}".encode())
    digest.update(msgspec.msgpack.encode(FACTS))
    for path, content in sorted(files.items()):
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _cel_build() -> str:
    """Which build of CEL compiled the expressions: importlib.metadata would cost more than the whole load."""
    library = Path(cel.__file__).stat()
    return f"{library.st_size} {library.st_mtime_ns}"


def _read_cache(path: Path, digest: str) -> LoadedBook | None:
    try:
        with path.open("rb") as file:
            kept = file.read(MAX_CACHE_BYTES)
        if hashlib.sha256(kept[_SEAL_BYTES:]).digest() != kept[:_SEAL_BYTES]:
            return None
        book = msgspec.msgpack.decode(kept[_SEAL_BYTES:], type=LoadedBook)
    except (OSError, msgspec.MsgspecError):
        return None
    return book if book.digest == digest else None


def _write_cache(path: Path, book: LoadedBook) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in _older_caches(path.parent):
            old.unlink(missing_ok=True)
        content = msgspec.msgpack.encode(book)
        temporary = path.with_suffix(f".{os.urandom(6).hex()}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        temporary.replace(path)


def _older_caches(folder: Path) -> list[Path]:
    """All but the few newest: one book for each policy folder in use."""
    newest_first = sorted(folder.glob("rules-*.msgpack"), key=lambda path: path.stat().st_mtime, reverse=True)
    return newest_first[KEPT_CACHES:]
