"""A job elsewhere, where elsewhere is another folder: sent, followed, brought back, started again."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainers.plans import lora_plan
from trainers import exit_codes
from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.export import TARGETS, describe
from trainers.remote import PLACES, carry, place_of
from trainers.remote.place import Job, Place, Step, name_of, script
from trainers.run_folder import layout

STAND_IN = """#!/bin/bash
# In place of python: each start of the plan takes three steps more, and ends as the next word of CODES says.
[ "$4" = plan.toml ] || { mkdir -p "$6/result"; exit 0; }
n=$(($(cat "$6/starts" 2> /dev/null || echo 0) + 1))
echo $n > "$6/starts"
set -- "$6" $CODES
for step in 1 2 3; do echo "{\\"step\\": $(((n - 1) * ${STEPS:-3} + step))}" >> "$1/metrics.jsonl"; done
echo "start $n"
mkdir -p "$1/checkpoints" "$1/result"
touch "$1/checkpoints/large" "$1/result/adapter"
shift $n
[ "$1" != KILL ] || kill -KILL $$ $PPID
exit "$1"
"""


def submit(job: Job) -> Step:
    return script('cd "$1" && { bash start.sh > job.log 2>&1 & } && wait; echo "job-$2"', there(job), str(job.start))


def there(job: Job) -> str:
    return str(job.run_dir.parent / "there" / job.name)


NEXT_DOOR = Place(
    target="ssh",
    programs=("bash", "tar"),
    send=lambda job: (script('mkdir -p "$1" && tar -cf - . | tar -C "$1" -xf -', there(job)),),
    submit=submit,
    follow=lambda job, identity: script('cat "$1/job.log"', there(job)),
    alive=lambda job, identity: Step(command=("false",)),
    fetch=lambda job, identity: (
        script('tar -C "$1/run" --exclude=./checkpoints -cf - . | tar -C "$2" -xf -', there(job), str(job.run_dir)),
    ),
    cancel=lambda job, identity: Step(command=("true",)),
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a job that was packed and never sent."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / "chats.jsonl").write_text('{"messages": []}\n')
    plan = lora_plan(dataset={"source": str(folder / "chats.jsonl"), "format": "messages"})
    carry.prepare(plan, "ssh:next-door", folder / "run")
    return folder / "run"


@pytest.fixture
def launch(
    tmp_path: Path, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, list[str]]]:
    """Carries out a job whose starts end with these codes. Returns exit code, log, and what was said."""
    (tmp_path / "python").write_text(STAND_IN)
    (tmp_path / "python").chmod(0o755)
    shutil.copytree(packed, tmp_path / "RUN 1")
    monkeypatch.setenv("PYTHON", str(tmp_path / "python"))

    def run(*codes: str, place: Place = NEXT_DOOR, **variables: str) -> tuple[int, str, list[str]]:
        for name, value in {"CODES": " ".join(codes), **variables}.items():
            monkeypatch.setenv(name, value)
        _, job = carry.prepare(lora_plan(), "ssh:next-door", tmp_path / "RUN 1")
        log, said = bytearray(), list[str]()
        code = carry.carry_out(place, job, echo=log.extend, say=said.append, ask_again_seconds=0)
        return code, log.decode(), said

    return run


def test_a_job_is_sent_followed_and_brought_back_without_its_checkpoints(
    launch: Callable[..., tuple[int, str, list[str]]], tmp_path: Path
) -> None:
    code, log, said = launch("0")
    assert code == exit_codes.DONE
    assert "the trial went well" in log and "start 1" in log
    run_dir = tmp_path / "RUN 1"
    assert (run_dir / layout.RESULT / "adapter").is_file() and not (run_dir / layout.CHECKPOINTS).exists()
    assert (run_dir / layout.JOB / "data" / "chats.jsonl").is_file()
    assert said == ["ssh has the job as job-1"]
    assert not (run_dir / layout.SUBMITTED).exists(), "what is over is followed no more"


@pytest.mark.parametrize("stopped", ["75", "143", "KILL"])
def test_a_preempted_job_is_started_again_and_goes_on(
    launch: Callable[..., tuple[int, str, list[str]]], tmp_path: Path, stopped: str
) -> None:
    code, log, said = launch(stopped, "0")
    assert code == exit_codes.DONE
    assert "start 2" in log
    assert [line for line in said if "stopped at step 3" in line]


@pytest.mark.parametrize("code", [exit_codes.BAD_PLAN, exit_codes.OUT_OF_MEMORY, exit_codes.CRASHED])
def test_a_job_that_failed_is_not_started_again(launch: Callable[..., tuple[int, str, list[str]]], code: int) -> None:
    assert launch(str(code), "0")[0] == code


def test_starts_that_bring_no_step_have_an_end(launch: Callable[..., tuple[int, str, list[str]]]) -> None:
    code, _, said = launch("75", "75", "75", "75", "75", STEPS="0")
    assert code == exit_codes.STOPPED
    assert said[-1].startswith("it was stopped 4 times, the last 3 without a new step")


def test_a_job_that_is_there_is_only_followed(
    launch: Callable[..., tuple[int, str, list[str]]], tmp_path: Path
) -> None:
    def no_more(job: Job) -> Step:
        raise AssertionError("it was sent or started again")

    interrupted = {"place": "ssh", "where": "next-door", "id": "job-1", "start": 1}
    launch("0")
    (tmp_path / "RUN 1" / layout.SUBMITTED).write_text(json.dumps(interrupted))
    place = Place(**{**{name: getattr(NEXT_DOOR, name) for name in NEXT_DOOR.__struct_fields__}, "submit": no_more})
    code, _, said = launch("0", place=place)
    assert (code, said) == (exit_codes.DONE, [])


def test_a_command_that_fails_is_said_with_its_own_words(launch: Callable[..., tuple[int, str, list[str]]]) -> None:
    refused = script("echo no such partition >&2; exit 3")
    place = Place(
        **{**{name: getattr(NEXT_DOOR, name) for name in NEXT_DOOR.__struct_fields__}, "submit": lambda job: refused}
    )
    with pytest.raises(EnvironmentLacking, match="no such partition"):
        launch("0", place=place)


def test_a_program_that_is_missing_is_named_before_anything_is_sent() -> None:
    place = Place(
        **{**{name: getattr(NEXT_DOOR, name) for name in NEXT_DOOR.__struct_fields__}, "programs": ("no-such-thing",)}
    )
    with pytest.raises(EnvironmentLacking, match="no-such-thing is not installed"):
        carry.require_programs(place)


@pytest.mark.parametrize("on", ["moon", "ssh", "modal:x", "ssh:-oProxyCommand=id", "ssh:a b", "slurm:-p x"])
def test_a_place_that_cannot_be_used_is_refused(on: str) -> None:
    with pytest.raises(PlanRefused) as refused:
        carry.split_place(on)
    assert refused.value.fix


def test_every_module_with_a_place_is_registered() -> None:
    folder = Path(carry.__file__).parent
    found = {
        f"trainers.remote.{file.stem}" for file in folder.glob("*.py") if "\nPLACE = " in file.read_text("utf-8")
    }
    assert found == set(PLACES.values()), "trainers/remote/__init__.py: PLACES has a row for each place"


@pytest.mark.parametrize("name", PLACES)
def test_every_place_is_an_export_target_and_says_commands(name: str, tmp_path: Path) -> None:
    place = place_of(name)
    assert place.target == name and name in TARGETS and describe(name).is_job
    job = Job(name="sft-x", folder=tmp_path, run_dir=tmp_path / "run it", plan=lora_plan(), where="somewhere")
    said = [step.as_shell() for step in [*carry.steps(place, job), place.alive(job, "7"), place.cancel(job, "7")]]
    for line in said:
        done = subprocess.run(["bash", "-n"], input=line, text=True, check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
    assert place.programs


def test_a_token_is_handed_over_where_nobody_sees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for name in PLACES:
        job = Job(name="sft-x", folder=tmp_path, run_dir=tmp_path / "run", plan=lora_plan(), where="somewhere")
        for step in carry.steps(place_of(name), job):
            assert "hf_secret" not in step.as_shell(), name
        assert "hf_secret" not in json.dumps(place_of(name).files(job))


def test_a_name_is_one_that_every_place_takes() -> None:
    assert name_of(Path("runs/Qwen3-8B_lora.20260101-120000")) == "sft-qwen3-8b-lora-20260101-120000"
    assert name_of(Path("x" * 80)) == "sft-" + "x" * 36
    assert name_of(Path("中文")) == "sft"
