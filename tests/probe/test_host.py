"""The host under every limit, laid out as a folder tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.probe.hardware import Host
from advisor.probe.host import in_wsl, read_host
from trainers.cgroup import MemoryLimit, cpu_quota, memory_limits

GIB = 1024**3
NO_LIMIT_V1 = "9223372036854771712"


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def v2(root: Path, folder: str, *, limit: str = "max", used: int = 0, cache: int = 0, high: str = "max") -> None:
    write(root, f"sys/fs/cgroup/{folder}memory.max", limit)
    write(root, f"sys/fs/cgroup/{folder}memory.high", high)
    write(root, f"sys/fs/cgroup/{folder}memory.current", str(used))
    write(root, f"sys/fs/cgroup/{folder}memory.stat", f"anon 1\ninactive_file {cache}\nslab 2\n")


def host(root: Path, **env: str) -> Host:
    return read_host(root, env, Path("/data/runs"))[0]


def codes(root: Path, **env: str) -> set[str]:
    return {finding.code for finding in read_host(root, env, Path("/data/runs"))[2]}


def test_without_a_limit_the_machine_is_what_it_is(root: Path) -> None:
    found = host(root)
    assert (found.ram_total_bytes, found.ram_available_bytes, found.cpu_cores) == (64 * GIB, 60 * GIB, 8)
    assert "ram-limited" not in codes(root)


def test_a_container_limit_of_version_2(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/\n")
    write(root, "sys/fs/cgroup/cgroup.controllers", "cpu memory")
    v2(root, "", limit=str(16 * GIB), used=10 * GIB, cache=4 * GIB)
    found = host(root)
    assert (found.ram_total_bytes, found.ram_available_bytes) == (16 * GIB, 10 * GIB)
    assert "ram-limited" in codes(root)


def test_the_tightest_parent_counts(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/system.slice/job.scope\n")
    write(root, "sys/fs/cgroup/cgroup.controllers", "cpu memory")
    v2(root, "system.slice/job.scope/", limit="max", used=GIB)
    v2(root, "system.slice/", limit=str(32 * GIB), used=30 * GIB, cache=0, high=str(24 * GIB))
    found = host(root)
    assert found.ram_total_bytes == 24 * GIB
    assert found.ram_available_bytes == 0


def test_a_path_of_the_host_still_finds_the_container_group(root: Path) -> None:
    write(root, "proc/self/cgroup", "0::/docker/0123456789ab\n")
    write(root, "sys/fs/cgroup/cgroup.controllers", "memory")
    v2(root, "", limit=str(8 * GIB), used=GIB)
    assert host(root).ram_total_bytes == 8 * GIB


def test_a_limit_of_version_1(root: Path) -> None:
    write(root, "proc/self/cgroup", "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n")
    write(root, "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", str(12 * GIB))
    write(root, "sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", str(5 * GIB))
    write(root, "sys/fs/cgroup/memory/docker/abc/memory.stat", f"total_inactive_file {GIB}\n")
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT_V1)
    write(root, "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "250000")
    write(root, "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000")
    found = host(root)
    assert (found.ram_total_bytes, found.ram_available_bytes) == (12 * GIB, 8 * GIB)
    assert found.cpu_cores == 3


def test_no_limit_of_version_1_is_no_limit(root: Path) -> None:
    write(root, "proc/self/cgroup", "5:memory:/\n")
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT_V1)
    write(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", str(GIB))
    assert memory_limits(root) == ()
    assert host(root).ram_total_bytes == 64 * GIB


def test_both_versions_at_once(root: Path) -> None:
    write(root, "proc/self/cgroup", "5:memory:/a\n0::/b\n")
    write(root, "sys/fs/cgroup/unified/cgroup.controllers", "")
    v2(root, "unified/b/", limit=str(20 * GIB), used=0)
    write(root, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", str(10 * GIB))
    assert host(root).ram_total_bytes == 10 * GIB


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", None), ("150000 100000", 2), ("5000 100000", 1), ("", None)]
)
def test_cpu_quota_of_version_2(root: Path, text: str, cores: int | None) -> None:
    write(root, "sys/fs/cgroup/cgroup.controllers", "cpu")
    write(root, "sys/fs/cgroup/cpu.max", text)
    assert cpu_quota(root) == cores


@pytest.mark.parametrize("path", ["0::/../../etc", "garbage", "0:", "", "0::/a/b/c/d", ":::::"])
def test_a_strange_cgroup_file_is_survived(root: Path, path: str) -> None:
    write(root, "proc/self/cgroup", path)
    write(root, "sys/fs/cgroup/cgroup.controllers", "memory")
    assert host(root).ram_total_bytes == 64 * GIB


@given(limit=st.integers(0, 2**50), used=st.none() | st.integers(0, 2**50), cache=st.integers(0, 2**50))
def test_room_under_a_limit_lies_within_it(limit: int, used: int | None, cache: int) -> None:
    room = MemoryLimit(limit_bytes=limit, used_bytes=used, reclaimable_bytes=cache).available_bytes
    assert 0 <= room <= limit


def test_affinity_is_the_least_of_its_witnesses(root: Path) -> None:
    write(root, "proc/self/status", "Cpus_allowed_list:\t0-1,8,10-11\n")
    assert host(root).cpu_cores == 5
    assert host(root, SLURM_JOB_ID="1", SLURM_CPUS_PER_TASK="2").cpu_cores == 2


def test_slurm_grants_memory(root: Path) -> None:
    assert host(root, SLURM_JOB_ID="1", SLURM_MEM_PER_NODE="16384").ram_total_bytes == 16 * GIB
    per_cpu = host(root, SLURM_JOB_ID="1", SLURM_MEM_PER_CPU="4096", SLURM_CPUS_PER_TASK="4")
    assert per_cpu.ram_total_bytes == 16 * GIB


def test_nothing_is_known_of_an_empty_root(tmp_path: Path) -> None:
    found, _, findings = read_host(tmp_path / "nothing", {}, Path("/data"))
    assert found.shm_bytes is None
    assert (found.output is not None and found.output.free_bytes is not None) or findings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu sse avx2 amx_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx512_bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("", None),
    ],
)
def test_bf16_of_the_cpu(root: Path, text: str, expected: bool | None) -> None:
    write(root, "proc/cpuinfo", "model name\t: Some CPU\n" + text)
    assert host(root).cpu_bf16 is expected
    assert host(root).cpu_name == "Some CPU"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, False),
        ({"DNNL_MAX_CPU_ISA": "avx512_core"}, False),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, True),
        ({"ONEDNN_MAX_CPU_ISA": ""}, True),
    ],
)
def test_bf16_is_what_the_kernels_may_use_of_the_cpu(root: Path, limit: dict[str, str], expected: bool) -> None:
    write(root, "proc/cpuinfo", "flags\t\t: fpu avx512_bf16\n")
    assert host(root, **limit).cpu_bf16 is expected


def test_small_shared_memory_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    real = shutil.disk_usage

    def usage(path: object) -> object:
        return type("u", (), {"total": 64 * 1024**2, "free": 0})() if "shm" in str(path) else real(path)  # type: ignore[arg-type]

    monkeypatch.setattr("advisor.probe.host.shutil.disk_usage", usage)
    assert "shm-small" in codes(root)
    assert host(root).shm_bytes == 64 * 1024**2


def test_windows_and_containers_are_recognised(root: Path) -> None:
    assert not in_wsl(root)
    write(root, "proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2\n")
    assert in_wsl(root)
    assert host(root).container is False
    assert host(root, KUBERNETES_SERVICE_HOST="10.0.0.1").container is True
    write(root, ".dockerenv", "")
    assert host(root).container is True


def test_missing_memory_information_is_a_finding_or_a_figure(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    found, _, findings = read_host(tmp_path, {}, Path("/data"))
    assert found.ram_total_bytes is not None or any(f.code == "ram-unknown" for f in findings)


def test_limits_of_the_process_are_told(root: Path) -> None:
    write(
        root,
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max open files            1024                 2048                 files     \n"
        "Max locked memory         65536                65536                bytes     \n",
    )
    assert "few-open-files" in codes(root)
    assert "little-locked-memory" not in codes(root)
    assert "little-locked-memory" in codes(root, SLURM_JOB_ID="1", SLURM_NNODES="2")
