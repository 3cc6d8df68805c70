import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_SECONDS
from trainers import exit_codes
from trainers.errors import Diverged, PlanRefused
from trainers.plan import PlanError
from trainers.run_folder.failures import explained, judge, keep_trace
from trainers.run_folder.record import RunRecord, read_record


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PlanRefused("no"), exit_codes.BAD_PLAN),
        (PlanError("no"), exit_codes.BAD_PLAN),
        (Diverged("no"), exit_codes.DIVERGED),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), exit_codes.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), exit_codes.OUT_OF_MEMORY),
        (MemoryError(), exit_codes.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), exit_codes.DISK_FULL),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64"), exit_codes.DISK_FULL),
        (ModuleNotFoundError("No module named 'trl'"), exit_codes.ENVIRONMENT),
        (KeyboardInterrupt(), exit_codes.INTERRUPTED),
        (RuntimeError("Connection closed by peer [127.0.0.1]:1"), exit_codes.CRASHED),
        (ZeroDivisionError("division by zero"), exit_codes.CRASHED),
        (ValueError("the text says out of memory but it is no allocation"), exit_codes.CRASHED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_end_has_its_code_and_its_three_parts(error: BaseException, code: int) -> None:
    judged, failure = judge(error, "training")
    assert judged == code
    assert failure["phase"] == "training"
    assert failure["what"]
    assert set(failure) == {"phase", "what", "why", "fix"}


def test_memory_that_runs_out_in_an_evaluation_or_a_save_is_blamed_on_it() -> None:
    def evaluation_loop() -> None:
        raise MemoryError

    def _save_checkpoint() -> None:
        raise OSError(errno.ENOSPC, "full")

    for function, phase in ((evaluation_loop, "evaluation"), (_save_checkpoint, "saving")):
        with pytest.raises((MemoryError, OSError)) as raised:
            function()
        assert judge(raised.value, "training")[1]["phase"] == phase


def test_a_command_ends_with_the_code_and_prints_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise PlanRefused("the plan is odd", why="two wishes exclude each other", fix="drop one")

    assert explained(refuse) == exit_codes.BAD_PLAN
    assert capsys.readouterr().err == (
        "error: the plan is odd\n  why: two wishes exclude each other\n  try: drop one\n"
    )
    assert explained(lambda: None) == exit_codes.DONE


WAITING = """
import signal, sys, time
from pathlib import Path
from trainers.run_folder.failures import explained

# a shell that starts the tests in the background has Ctrl-C ignored, and children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

def wait():
    try:
        print("ready", flush=True)
        time.sleep(3600)
    finally:
        Path(sys.argv[1]).touch()

sys.exit(explained(wait))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_with_one_line_after_it_has_cleaned_up(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", WAITING, str(tmp_path / "cleaned")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, error = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, error) == (exit_codes.INTERRUPTED, "interrupted\n")
    assert (tmp_path / "cleaned").exists()


def test_a_trace_goes_to_a_file(tmp_path: Path) -> None:
    assert "crash.txt" in keep_trace(ValueError("inside"), tmp_path)
    assert "ValueError: inside" in (tmp_path / "crash.txt").read_text()


def test_the_record_times_phases_and_leaves_what_others_wrote(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"attempts": [{"number": 1}], "exit_state": "stopped"}')
    record = RunRecord(tmp_path)
    with record.phase("loading"):
        pass
    fails: Callable[[], float] = lambda: 1 / 0  # noqa: E731
    with pytest.raises(ZeroDivisionError), record.phase("training"):
        fails()
    assert record.current_phase == "training"
    record.end(exit_codes.OUT_OF_MEMORY, {"what": "out of memory"})
    found = read_record(tmp_path / "run.json")
    assert found["attempts"] == [{"number": 1}]
    assert found["exit_state"] == "out_of_memory"
    assert set(found["seconds"]) == {"loading"}


def test_a_record_that_does_not_write_and_one_that_cannot_be_read(tmp_path: Path) -> None:
    RunRecord(tmp_path, writes=False).update(method="lora")
    assert not (tmp_path / "run.json").exists()
    (tmp_path / "run.json").write_text("[")
    assert read_record(tmp_path / "run.json") == {}


def test_a_foreign_pickle_is_no_fault_of_the_trainer() -> None:
    import pickle

    torch_says = "Weights only load failed. ... set `weights_only=False` ... Unsupported global: posix.system"
    code, failure = judge(pickle.UnpicklingError(torch_says), "loading")
    assert code == exit_codes.BAD_PLAN
    assert "program code" in failure["what"]
    assert "weights_only" not in "".join(str(part) for part in failure.values())
