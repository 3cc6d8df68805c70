"""What the control groups of this process leave it, and what they did to it, laid out as a folder tree."""

from pathlib import Path

import pytest

from trainers.cgroup import out_of_memory_kills
from trainers.host_memory import free_host_bytes


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def group_v2(root: Path, folder: str, limit: str, used: int, cached: int) -> None:
    write(root, "sys/fs/cgroup/cgroup.controllers", "memory")
    for name, content in (("max", limit), ("current", str(used)), ("stat", f"anon 1\ninactive_file {cached}\n")):
        write(root, f"sys/fs/cgroup/{folder}memory.{name}", content)


def test_free_memory_ends_at_the_tightest_limit_of_a_control_group(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/slice/job\n")
    unlimited = free_host_bytes(tmp_path)
    group_v2(tmp_path, "slice/job/", "3000000", 2_000_000, 500_000)
    assert free_host_bytes(tmp_path) == 1_500_000 < unlimited
    group_v2(tmp_path, "slice/job/", "max", 2_000_000, 500_000)
    assert free_host_bytes(tmp_path) > 1 << 24


def test_the_limit_of_a_parent_group_binds_too(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/slice/job\n")
    group_v2(tmp_path, "slice/job/", "max", 1, 0)
    group_v2(tmp_path, "slice/", "3000000", 2_000_000, 0)
    assert free_host_bytes(tmp_path) == 1_000_000


def test_a_limit_of_version_1_binds_as_one_of_version_2(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "5:memory:/docker/abc\n")
    for name, content in (
        ("limit_in_bytes", "3000000"),
        ("usage_in_bytes", "2000000"),
        ("stat", "total_inactive_file 7"),
    ):
        write(tmp_path, f"sys/fs/cgroup/memory/docker/abc/memory.{name}", content)
    assert free_host_bytes(tmp_path) == 1_000_007


@pytest.mark.parametrize(
    ("groups", "file", "content"),
    [
        ("0::/user.slice/run", "user.slice/run/memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"),
        ("0::/only/on/the/host", "memory.events", "oom_kill 2\n"),
        ("5:memory:/run", "memory/run/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
    ],
)
def test_kills_for_lack_of_memory_are_read_from_the_own_group(
    tmp_path: Path, groups: str, file: str, content: str
) -> None:
    assert out_of_memory_kills(tmp_path) == 0
    write(tmp_path, "proc/self/cgroup", f"{groups}\n")
    if groups.startswith("0"):
        write(tmp_path, "sys/fs/cgroup/cgroup.controllers", "memory")
    write(tmp_path, f"sys/fs/cgroup/{file}", content)
    assert out_of_memory_kills(tmp_path) == 2
