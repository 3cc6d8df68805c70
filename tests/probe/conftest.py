"""The stand-in library, built once, and an empty filesystem root."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from tests.probe.stand_in import OLD_DRIVER_LACKS, build

settings.register_profile("patient", deadline=None)  # a loaded machine is no failure
settings.load_profile("patient")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a stand-in that has every symbol."""
    _need_compiler()
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a stand-in that lacks what drivers before R510 lack."""
    _need_compiler()
    return build(tmp_path_factory.mktemp("old_nvml"), OLD_DRIVER_LACKS)


def _need_compiler() -> None:
    if shutil.which("cc") is None:
        pytest.skip("the stand-in NVML library is built with cc, which is not installed")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of 64 GiB, 8 cores, nothing else."""
    folder = tmp_path / "root"
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text("MemTotal: 67108864 kB\nMemFree: 1000 kB\nMemAvailable: 62914560 kB\n")
    (folder / "proc/self/status").write_text("Name: x\nCpus_allowed_list:\t0-7\n")
    (folder / "dev/shm").mkdir(parents=True)
    return folder
