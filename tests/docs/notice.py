"""NOTICE: the licence of every package of the tested set, as its own metadata says it.

python -m tests.docs.notice            rewrite NOTICE
python -m tests.docs.notice --check    exit 1 when it is stale

A package that is not installed here (Windows's and CUDA's, for the most part) keeps the line that it has.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTICE = ROOT / "NOTICE"
HEAD = """sft-advisor, under the Apache License 2.0.

It uses these packages, which pip installs and this project does not hold; each comes with the text of its licence.
All are permissive but num2words, python-stdnum (LGPL: used as libraries, unchanged) and certifi, shtab, tqdm in part
(MPL-2.0).

"""
PIN = re.compile(r"^([A-Za-z0-9._-]+)==[^ ;\\]+", re.MULTILINE)
LONGEST = 60


def written() -> str:
    """The text of NOTICE."""
    kept = dict(re.findall(r"^([A-Za-z0-9._-]+): (.+)$", NOTICE.read_text(encoding="utf-8"), re.MULTILINE))
    pins = PIN.findall((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    lines = {name: licence_of(name) or kept.get(name) for name in pins}
    return HEAD + "".join(f"{name}: {lines[name]}\n" for name in sorted(lines, key=str.lower) if lines[name])


def licence_of(name: str) -> str | None:
    """What an installed package says of itself: the expression, else the classifier, else its first line of text."""
    try:
        said = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    classes = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier", []) if one.startswith("License ::")]
    text = (said.get("License") or "").strip().splitlines()
    return (said.get("License-Expression") or next(iter([*classes, *text]), "see the package"))[:LONGEST]


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(
            0 if NOTICE.read_text(encoding="utf-8") == written() else "NOTICE is stale: python -m tests.docs.notice"
        )
    NOTICE.write_text(written(), encoding="utf-8")
