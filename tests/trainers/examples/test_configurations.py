"""Parts of a folder that their publisher keeps apart are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.data.check import check_dataset
from trainers.examples.source import open_source

ROWS = "".join(f'{{"question": "what is {number}", "answer": "it is {number}"}}\n' for number in range(60))
README = """---
license: mit
configs:
- config_name: short
  data_files: data/short*.jsonl
  default: true
- config_name: long
  data_files:
  - split: train
    path: data/long.jsonl
---
# Two
"""


def laid(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(ROWS)
    return str(folder)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (
            ("main/train.jsonl", "main/test.jsonl", "socratic/train.jsonl", "socratic/test.jsonl"),
            ("main", "socratic"),
        ),
        (("train/a.jsonl", "test/a.jsonl"), ()),
        (("data/train-0.jsonl", "data/train-1.jsonl"), ()),
        (("a.jsonl", "b.jsonl"), ()),
    ],
)
def test_folders_with_files_of_their_own_are_configurations(
    names: tuple[str, ...], found: tuple[str, ...], tmp_path: Path
) -> None:
    assert open_source(laid(tmp_path, *names)).configurations == found


def test_a_readme_says_which_files_are_one_and_each_can_be_named(tmp_path: Path) -> None:
    folder = laid(tmp_path, "data/short-0.jsonl", "data/long.jsonl")
    (tmp_path / "README.md").write_text(README)
    found = open_source(folder).configurations
    assert found == ("data/short*.jsonl", "data/long.jsonl")
    assert [file.name for file in open_source(f"{folder}/{found[0]}").files] == ["short-0.jsonl"]


@pytest.mark.parametrize(
    "head", ["---\nconfigs: 3\n---\n", "---\na: [\n---\n", "no head", "---\nconfigs:\n- 1\n---\n"]
)
def test_a_readme_that_says_nothing_leaves_it_to_the_folders(head: str, tmp_path: Path) -> None:
    folder = laid(tmp_path, "one/a.jsonl", "two/a.jsonl")
    (tmp_path / "README.md").write_text(head)
    assert open_source(folder).configurations == ("one", "two")


def test_several_configurations_read_as_one_are_told_with_the_way_to_one(tmp_path: Path) -> None:
    folder = laid(tmp_path, "main/train.jsonl", "socratic/train.jsonl")
    verdict = check_dataset(folder, look_for_leaks=False)
    found = next(one for one in verdict.findings if one.code == "several-configurations")
    assert found.level == "warn"
    assert f"--dataset {folder}/main;" in found.fix
    knowingly = check_dataset(f"{folder}/main {folder}/socratic", look_for_leaks=False)
    assert knowingly.profile.num_examples == verdict.profile.num_examples
    assert "several-configurations" not in {one.code for one in knowingly.findings}
