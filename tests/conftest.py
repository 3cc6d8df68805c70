"""What all tests share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from advisor.ask.answers import Layer
from advisor.commands.measure import gather, recommend
from advisor.decide.recommendation import Recommendation
from tests.embedded import Conversion, converted
from tests.leftovers import left_behind, patched, standing
from trainers.network import NO_REPORTS

OF_THE_USER = (
    "CLICOLOR", "COLUMNS", "FORCE_COLOR", "HF_", "HUGGINGFACE_", "LINES", "MLFLOW_", "NO_COLOR", "SFT_ADVISOR_",
    "SLURM_", "TRACKIO_", "TRANSFORMERS_", "WANDB_", "XDG_",
)  # fmt: skip
"""How variables begin that change what the tool says or where it looks; tests that need one set it themselves."""
for variable in [name for name in os.environ if name.startswith(OF_THE_USER)]:
    del os.environ[variable]
LEFT_BY_NOBODY = tempfile.mkdtemp(prefix="tests-")
"""Where the tool and the hub look before a test has a folder of its own, at import and in session fixtures: empty,
so that nothing that this user or an earlier run left behind changes a test."""
os.environ |= {"SFT_ADVISOR_HOME": f"{LEFT_BY_NOBODY}/home", "HF_HOME": f"{LEFT_BY_NOBODY}/hub"}
# With more threads than free cores OpenMP waits in busy loops: a hundred times slower on the small matrices of tests
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ |= NO_REPORTS  # as each command sets them for its own process, which here is that of all tests

ON_ANY_MACHINE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
"""Neither a busy machine nor a slow one fails a property."""
settings.register_profile("fixed", derandomize=True, **ON_ANY_MACHINE)
settings.register_profile("explore", max_examples=500, print_blob=True, **ON_ANY_MACHINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))
"""A test says the same of the same code each time it runs; `make explore` looks for examples that none tried yet."""

FLAGS = {"model": "Qwen3-8B", "hardware": "RTX 4090", "data.examples": "5000", "data.completion_tokens": "2M"}


@pytest.fixture(scope="session")
def new_home(tmp_path_factory) -> Callable[[], Path]:
    """Makes a folder of the tool's own with the rules and cards in it, so that not each test compiles them anew; what
    is linked stays in nobody's home, for the tool keeps its last answer and more beside them."""
    from rules.engine import load_rule_book

    parsed = tmp_path_factory.mktemp("parsed")
    load_rule_book(cache=parsed)

    def home() -> Path:
        folder = tmp_path_factory.mktemp("home")
        for file in parsed.iterdir():
            (folder / file.name).hardlink_to(file)
        return folder

    return home


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Raw bytes stay out of a test's id: what is compressed or packed may hold the second in which it was made."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that hold slow tests come first, so that none of them is what one worker ends with alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_unconfigure() -> None:
    """Take the empty folders away."""
    shutil.rmtree(LEFT_BY_NOBODY, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How to run the same order again; pytest-randomly says it in a header that -q hides."""
    seed = config.getoption("randomly_seed", None)
    if seed is not None:
        terminalreporter.write_line(f"random order: run it again with --randomly-seed={seed}")


ALREADY_NAMED: set[str] = set()
"""Patches that an earlier file left, so that the files after it do not answer for them."""


@pytest.fixture(scope="module", autouse=True)
def _file_leaves_nothing_behind():
    """The tests of a file, and what they share, put back what they change; no library is left patched."""
    before = standing()
    yield
    newly_patched = sorted({*patched()} - ALREADY_NAMED)
    ALREADY_NAMED.update(newly_patched)
    left = left_behind(before) + [f"{name} is patched" for name in newly_patched]
    assert not left, "left behind by this file:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(_file_leaves_nothing_behind):
    """What a test changes in its process is as before when the next one starts."""
    before = standing()
    yield
    left = left_behind(before)
    assert not left, "left behind by this test:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def _home(_leaves_nothing_behind, monkeypatch, new_home):
    """Nothing of a test is kept among the user's files, and nothing is read from there."""
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(new_home()))


@pytest.fixture(scope="session")
def real_recommendation() -> Recommendation:
    """What the real advisor says to FLAGS."""
    from rules.engine import load_rule_book

    return recommend(gather([Layer("flag", FLAGS)]), load_rule_book(), search_changes=False)


@pytest.fixture(scope="session")
def embedded_model(tmp_path_factory) -> Conversion:
    """The converted embedded model; the processes of one run of pytest share it."""
    base = tmp_path_factory.getbasetemp()
    return converted((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "embedded")
