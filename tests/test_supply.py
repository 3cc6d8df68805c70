"""The tested set is pinned with digests, and every licence that asks for a word has one."""

import re
import tomllib
from pathlib import Path

from tests.docs.notice import NOTICE, licence_of

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK, re.MULTILINE))


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[ <>=!~;\[]", name)[0]).lower()


def test_everything_that_is_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    assert {plain(name) for name in wanted} <= {plain(name) for name in PINS}


def test_each_pin_has_a_digest() -> None:
    entries = re.split(r"^(?=[A-Za-z0-9._-]+==)", LOCK, flags=re.MULTILINE)
    assert [entry for entry in entries if "==" in entry and "--hash=sha256:" not in entry] == []


def test_every_pin_has_its_licence_in_the_notice() -> None:
    named = set(re.findall(r"^([A-Za-z0-9._-]+): ", NOTICE.read_text(encoding="utf-8"), re.MULTILINE))
    of_other_systems = {name for name in PINS if licence_of(name) is None}
    assert set(PINS) - of_other_systems <= named
    assert named <= set(PINS)


def test_what_may_break_with_a_major_version_is_bounded() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["train"], *extras["ui"], *extras["mcp"], *extras["ray"]]
    free = {plain(name) for name in asked if "<" not in name}
    assert free == {"nvidia-ml-py", "packaging"}  # versions that count the driver's, and years


def test_continuous_integration_looks_for_known_faults() -> None:
    assert "pip-audit --require-hashes" in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")


def test_the_notice_names_what_is_not_permissive() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert re.search(r"^python-stdnum: .*Lesser General Public", notice, re.MULTILINE)
    assert re.search(r"^certifi: Mozilla", notice, re.MULTILINE)
