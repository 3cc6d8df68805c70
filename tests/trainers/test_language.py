import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.base.language import DOMAIN, FOLDER
from trainers import language
from trainers.language import HANDED_ON, Later, handed_on, later, tr
from trainers.python import child_environment

CHINESE = FOLDER / "zh_CN" / "LC_MESSAGES" / f"{DOMAIN}.mo"


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    yield
    language.use(None)


def test_a_sentence_of_a_table_is_said_in_the_language_of_the_moment() -> None:
    kept, within = later("pictures"), Later("more than {share:.0%} of the rows {what}", {"share": 0.5, "what": "x"})
    assert (tr(kept), str(within)) == ("pictures", "more than 50% of the rows x")
    language.use(CHINESE)
    assert (tr(kept), f"{within}") == ("图片", "超过 50% 的行x")


def test_a_sentence_can_hold_another() -> None:
    outer = Later("any row holds {what}, and the chat template does not show them", {"what": Later("thoughts")})
    assert str(outer) == "any row holds thoughts, and the chat template does not show them"
    language.use(CHINESE)
    assert str(outer) == "有任何一行含有推理，而聊天模板不显示它们"


def test_a_child_speaks_as_its_parent_does() -> None:
    assert HANDED_ON not in child_environment({})
    language.use(CHINESE)
    said = "from trainers.language import tr; print(ascii(tr('{count} steps', count=3)))"
    child = subprocess.run(
        [sys.executable, "-c", said],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == ascii("3 步")


def test_a_catalogue_of_another_machine_leaves_a_child_english(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "from trainers.language import tr; print(tr('{count} steps', count=3))"],
        env={**child_environment(), HANDED_ON: str(tmp_path / "gone.mo")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == "3 steps"
    with pytest.raises(FileNotFoundError):
        language.use(tmp_path / "gone.mo")
    assert handed_on() == {}
