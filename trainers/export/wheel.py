"""The wheel of the version that runs: what a job takes along, so that it asks no index for a name of ours.

Made from the files that this process runs, installed or in a checkout; the same files give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib import metadata
from pathlib import Path

PROJECT = "sft-advisor"
PACKAGES = ("advisor", "rules", "trainers")
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
"""The versions that the tests of this version ran with."""
_MADE_AT = (2020, 1, 1, 0, 0, 0)
_TAGS = "Wheel-Version: 1.0\nGenerator: sft-advisor\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel_name() -> str:
    """Its file name, as pip wants it."""
    return f"{PROJECT.replace('-', '_')}-{metadata.version(PROJECT)}-py3-none-any.whl"


def write_wheel(folder: Path) -> Path:
    """Write the wheel into `folder` and return its path."""
    target = folder / wheel_name()
    content = {**_code(), **_about()}
    record = f"{_info()}/RECORD"
    lines = [f"{name},sha256={_digest(raw)},{len(raw)}" for name, raw in content.items()]
    content[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in content.items():
            entry = zipfile.ZipInfo(name, _MADE_AT)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, raw)
    partial.replace(target)
    return target


def _code() -> dict[str, bytes]:
    root = Path(__file__).resolve().parents[2]
    files = sorted(file for package in PACKAGES for file in (root / package).rglob("*") if file.is_file())
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files if "__pycache__" not in file.parts}


def _about() -> dict[str, bytes]:
    distribution = metadata.distribution(PROJECT)
    said = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    commands = distribution.read_text("entry_points.txt") or ""
    texts = {"METADATA": said, "WHEEL": _TAGS, "entry_points.txt": commands}
    return {f"{_info()}/{name}": text.encode() for name, text in texts.items()}


def _info() -> str:
    return f"{PROJECT.replace('-', '_')}-{metadata.version(PROJECT)}.dist-info"


def _digest(raw: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
