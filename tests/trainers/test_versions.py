"""The tested versions: what the package asks for is what a run is held to."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from trainers import versions
from trainers.errors import EnvironmentLacking

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(autouse=True)
def _asked_anew():
    versions.window.cache_clear()
    yield
    versions.window.cache_clear()


def test_installed_versions_are_in_the_tested_window_and_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert versions.check_installed(need_bitsandbytes=True)["trl"] == metadata.version("trl")
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "6.0.0" if name == "transformers" else real(name))
    with pytest.raises(
        EnvironmentLacking, match=r"transformers 6\.0\.0 is outside the tested versions \(<6,>=5"
    ) as error:
        versions.check_installed()
    assert "'transformers<6,>=5" in error.value.fix


@pytest.mark.parametrize("library", versions.LIBRARIES)
def test_every_library_has_a_window_with_both_ends(library: str) -> None:
    operators = {part.operator for part in versions.window(library).specifier}
    assert operators == {">=", "<"}, f"give {library} a lowest and a first untested version in pyproject.toml"


def test_the_installed_metadata_says_what_the_checkout_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = [f"{text} ; extra == 'train'" for text in PROJECT["optional-dependencies"]["train"]]
    monkeypatch.setattr(metadata, "requires", lambda _name: ["rich>=13", *lines, "pytest ; extra == 'dev'"])
    from_checkout = {library: versions.window(library) for library in versions.LIBRARIES}
    versions.window.cache_clear()
    monkeypatch.setattr(versions, "_PROJECT", tmp_path / "none.toml")
    assert {library: versions.window(library) for library in versions.LIBRARIES} == from_checkout


@pytest.mark.parametrize(
    ("version", "tested"),
    [
        ("5.20.0", True),
        ("5.20rc1", False),
        ("5.99.1.dev0", True),
        ("6.0.0.dev0", False),
        ("5.23.0+local.build", True),
        ("not a version", False),
    ],
)
def test_versions_are_compared_as_pip_compares_them(
    version: str, tested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_asked_for", lambda: ["transformers>=5.20,<6"])
    assert versions.is_tested("transformers", version) is tested


def test_without_metadata_any_version_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def gone(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(versions, "_PROJECT", tmp_path / "none.toml")
    monkeypatch.setattr(metadata, "requires", gone)
    assert versions.is_tested("trl", "0.0.1")
