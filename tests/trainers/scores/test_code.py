"""Code that passes given tests, and code that tries something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers.foreign.lock import holds
from trainers.scores.code import python_passes
from trainers.scores.measures import choose

REFERENCE = """def twice(n):
    return 2 * n

assert twice(2) == 4
assert twice(0) == 0
"""
RIGHT = "```python\nimport math\ndef twice(n):\n    return n + n\n```"


def test_what_passes_is_right_and_what_fails_is_not() -> None:
    assert python_passes(REFERENCE, RIGHT) == 1.0
    assert python_passes(REFERENCE, "def twice(n):\n    return n + 2") == 0.0, "right for 2 alone"
    assert python_passes(REFERENCE, "def thrice(n):\n    return 3 * n") == 0.0
    assert python_passes(REFERENCE, "") == 0.0
    assert python_passes("def twice(n): return 2 * n", RIGHT) == 0.0, "nothing is asserted"


@pytest.mark.parametrize(
    "answer",
    [
        "raise SystemExit(0)",
        "import os\nos._exit(0)",
        "print('sft-advisor: all assertions hold')\nraise SystemExit(0)",
        "import os, sys\nprint(max(' '.join(sys.orig_argv).split(), key=len)[-33:-1])\nos._exit(0)",
        "import os\nprint(open('/proc/self/cmdline').read()[-34:-2])\nos._exit(0)",
        "x = bytearray(1 << 30)\ndef twice(n): return 2 * n",
        "def twice(n): return",
    ],
)
def test_no_way_around_the_assertions_counts(answer: str) -> None:
    assert python_passes(REFERENCE, answer) == 0.0


def test_nothing_is_written_and_nothing_else_is_run(tmp_path: Path) -> None:
    wanted = tmp_path / "written"
    for deed in (f"open({str(wanted)!r}, 'w').write('x')", f"import os; os.system('touch {wanted}')"):
        python_passes(REFERENCE, f"{deed}\n{REFERENCE}")
        assert not wanted.exists() or not wanted.read_text()


def test_nothing_of_this_process_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for deed in (
        "import os; os.environ['HF_TOKEN']",
        "import msgspec",
        "import trainers.plan",
        "open('/etc/passwd')",
    ):
        assert python_passes(REFERENCE, f"{deed}\n{REFERENCE}") == 0.0, deed


@pytest.mark.skipif(not any("seccomp" in one for one in holds()), reason="this kernel or container has no seccomp")
@pytest.mark.parametrize(
    "deed",
    [
        "import socket; socket.socket()",
        "import os; os.fork()",
        "import os; os.kill(os.getppid(), 0)",
        "import threading; threading.Thread(target=print).start()",
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9, 9))",
    ],
)
def test_what_a_computation_does_not_need_is_refused(deed: str) -> None:
    assert python_passes(REFERENCE, REFERENCE) == 1.0
    assert python_passes(REFERENCE, f"{deed}\n{REFERENCE}") == 0.0


def test_references_with_assertions_choose_it() -> None:
    assert choose([REFERENCE] * 9).measure == "python_passes"
    different = [f"def twice{place}(number):\n    return 2 * number + {place}" for place in range(9)]
    assert choose(different).measure == "python_parses"
