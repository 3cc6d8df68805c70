"""Which versions of the training libraries this package was tested with, read from what it itself asks for. No torch.

The windows stand in pyproject.toml, as the extra `train`, and nowhere else.
"""

from __future__ import annotations

import platform
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.errors import EnvironmentLacking

if TYPE_CHECKING:
    from packaging.requirements import Requirement

LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets", "peft", "bitsandbytes")
"""Those whose options and behaviour this code knows."""
_PROJECT = Path(__file__).parents[1] / "pyproject.toml"


@cache
def window(library: str) -> Requirement:
    """What the extra `train` asks for; any version for a library that it does not name."""
    from packaging.requirements import Requirement

    for text in _asked_for():
        requirement = Requirement(text)
        if requirement.name == library:
            return Requirement(f"{requirement.name}{requirement.specifier}")
    return Requirement(library)


def is_tested(library: str, version: str) -> bool:
    """Whether this version lies in the tested window; as pip sees it: "5.20rc1" is below 5.20."""
    from packaging.version import InvalidVersion

    try:
        return window(library).specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return False


def check_installed(*, need_bitsandbytes: bool = False) -> dict[str, str]:
    """Installed versions of LIBRARIES. Raises EnvironmentLacking naming each that is missing or was not tested."""
    installed, problems = {}, []
    for library in LIBRARIES:
        try:
            installed[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            if library != "bitsandbytes" or need_bitsandbytes:
                problems.append(f"{library} is not installed")
            continue
        if not is_tested(library, installed[library]):
            specifier = window(library).specifier
            problems.append(f"{library} {installed[library]} is outside the tested versions ({specifier})")
    if problems:
        packages = " ".join(f"'{window(library)}'" for library in LIBRARIES)
        raise EnvironmentLacking("; ".join(problems), fix=f"pip install {packages}")
    return installed


def requirements_file() -> str:
    """Every installed package with its version, as `pip install -r` takes it: what a run can be repeated with."""
    versions = {dist.metadata["Name"]: dist.version for dist in metadata.distributions() if dist.metadata["Name"]}
    lines = [f"{name}=={version}" for name, version in sorted(versions.items(), key=lambda item: item[0].lower())]
    return f"# Python {platform.python_version()}\n" + "\n".join(lines) + "\n"


def _asked_for() -> list[str]:
    """Requirements of the extra, from the checkout that this file is in, else from the installed metadata."""
    if _PROJECT.is_file():
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "sft-advisor":
            return list(project["optional-dependencies"]["train"])
    try:
        texts = metadata.requires("sft-advisor") or []
    except metadata.PackageNotFoundError:
        return []
    return [text.partition(";")[0] for text in texts if "extra" in text and "train" in text.partition(";")[2]]
