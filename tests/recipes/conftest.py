"""A scratch copy of the repository, in which a recipe of CONTRIBUTING.md is carried out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
FOLDERS = ("advisor", "rules", "trainers", "tests", "docs", ".github", ".ci")


class Scratch:
    """The copy; `touched` are the files that a person had to open, those that `make docs` writes left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.touched: list[str] = []

    def write(self, path: str, text: str) -> None:
        """A new file."""
        assert not (self.root / path).exists(), f"{path} is there already"
        (self.root / path).write_text(text, encoding="utf-8")
        self._touch(path)

    def insert(self, path: str, before: str, text: str) -> None:
        """`text` in front of the one place where `before` stands."""
        self.replace(path, before, text + before)

    def replace(self, path: str, old: str, new: str) -> None:
        """`new` in the one place where `old` stands."""
        whole = (self.root / path).read_text(encoding="utf-8")
        assert whole.count(old) == 1, f"{path} holds {old!r} {whole.count(old)} times"
        (self.root / path).write_text(whole.replace(old, new), encoding="utf-8")
        self._touch(path)

    def docs(self) -> None:
        """`make docs`."""
        for module in ("rules.index", "tests.docs.readme_blocks"):
            done = self._python("-m", module)
            assert done.returncode == 0, done.stderr

    def suite(self, *tests: str) -> None:
        """These tests of the copy, which have to pass."""
        done = self._pytest(*tests)
        assert done.returncode == 0, done.stdout[-6000:]

    def complains(self, *tests: str, about: str) -> None:
        """These tests of the copy, which have to fail and to name what is missing."""
        done = self._pytest(*tests)
        assert done.returncode != 0, f"nothing fails at this half-way stop\n{done.stdout[-3000:]}"
        said = done.stdout + done.stderr
        assert about in said, said[-6000:]

    def python(self, *arguments: str) -> str:
        """What `python ...` prints in the copy."""
        done = self._python(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _touch(self, path: str) -> None:
        if path not in self.touched:
            self.touched.append(path)

    def _pytest(self, *tests: str) -> subprocess.CompletedProcess[str]:
        return self._python("-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", *tests)

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment = inherited | {"PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    """The repository copied: what git tracks or would take, without environment, builds and caches."""
    copy = tmp_path / "copy"
    sources = _sources()
    for name in sources:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    # What is compiled already is valid for files of the same time and size, and half of what a first start takes
    for folder in {(ROOT / name).parent / "__pycache__" for name in sources if name.endswith(".py")}:
        if folder.is_dir():
            shutil.copytree(folder, copy / folder.relative_to(ROOT))
    return Scratch(copy)


def _sources() -> list[str]:
    """Paths of the files below ROOT; where git does not know them (an unpacked release), all but caches."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.decode().rstrip("\0").split("\0")
    else:
        files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
        kept = [path for path in (*ROOT.iterdir(), *files) if "__pycache__" not in path.parts]
        names = [path.relative_to(ROOT).as_posix() for path in kept]
    return [name for name in names if (ROOT / name).is_file()]
