"""Installed versions are those of the packages, and nothing is imported to learn them."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from advisor.probe import software
from advisor.probe.software import PACKAGES, installed_software


def test_versions_are_those_of_the_packages() -> None:
    found = installed_software()
    for field, distribution in PACKAGES.items():
        try:
            expected = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            expected = None
        assert getattr(found, field) == expected


def test_the_probe_imports_nothing_heavy() -> None:
    code = (
        "import sys; from advisor.probe import probe; probe(); "
        "print([m for m in ('torch', 'numpy', 'transformers', 'rich', 'pynvml', 'packaging') if m in sys.modules])"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert child.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "version", "build"),
    [
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "2.13.0", "cu130"),
        ("cuda = '12.6'\n", "2.13.0", "cu126"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '7.2.53211'\n", "2.13.0", "rocm7.2"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\nxpu: Optional[str] = '20250'\n", "2.13.0", "xpu"),
        ("cuda: Optional[str] = None\n", "2.13.0+cpu", "cpu"),
        ("cuda: Optional[str] = None\n", "2.13.0", "cpu"),
        (None, "2.13.0+cu129", "cu129"),
        (None, "2.13.0", None),
    ],
)
def test_the_build_of_torch(
    monkeypatch: pytest.MonkeyPatch, text: str | None, version: str, build: str | None
) -> None:
    monkeypatch.setattr(software, "_torch_version_file", lambda: text)
    assert software._torch_build(version) == build
