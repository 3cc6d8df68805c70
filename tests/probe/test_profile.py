"""Saved machines: nothing lost, nothing private, nothing believed that cannot be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.base.errors import InputError
from advisor.probe import (
    hardware_from_text,
    hardware_to_json,
    load_profile,
    merge_profiles,
    probe,
    save_profile,
    without_private,
)
from advisor.probe.hardware import Disk, Finding, Gpu, GpuProcess, Hardware, Host
from tests.probe import stand_in as machines

GIB = 1024**3


def server(name: str, count: int, free_gib: int, **more: Any) -> Hardware:
    gpus = tuple(
        Gpu(
            index=index,
            name=name,
            uuid=f"GPU-{name}-{free_gib}-{index}",
            total_bytes=80 * GIB,
            reserved_bytes=0,
            free_bytes=free_gib * GIB,
        )
        for index in range(count)
    )
    host = Host(ram_total_bytes=512 * GIB, ram_available_bytes=free_gib * GIB, cpu_cores=64)
    return Hardware(state="ok", accelerator="cuda", gpus=gpus, host=host, **{"link": "nvlink", **more})


def test_a_saved_machine_is_the_same_machine(library: Path, root: Path, tmp_path: Path) -> None:
    hardware = machines.probe_machines(library, [machines.A100], root=root)[0]
    save_profile(hardware, tmp_path / "machine.json")
    loaded = load_profile(tmp_path / "machine.json")
    assert loaded.origin == "profile"
    assert loaded.gpus == hardware.gpus
    assert loaded.usable_gpus == hardware.usable_gpus
    assert loaded.host.ram_available_bytes == hardware.host.ram_available_bytes
    assert loaded.software == hardware.software
    assert list(tmp_path.glob(".*")) == []


def test_a_described_machine_stays_described(tmp_path: Path) -> None:
    save_profile(hardware_from_text("2x RTX 3090"), tmp_path / "m.json")
    assert load_profile(tmp_path / "m.json").origin == "described"


def test_nothing_private_is_saved(root: Path) -> None:
    import getpass
    import socket

    env = {
        "HOME": "/home/carol",
        "HF_HOME": "/srv/secret-cache",
        "TRANSFORMERS_CACHE": "/x/secret-cache",
        "TMPDIR": "/t/secret",
    }
    hardware = probe(env=env, root=root, output=Path("/home/carol/secret-project/runs"))
    held = GpuProcess(pid=7, used_bytes=1, name="carol-train")
    hardware = msgspec.structs.replace(hardware, gpus=(Gpu(index=0, name="Tesla T4", processes=(held,)),))
    text = hardware_to_json(hardware).decode()
    for word in ("carol", "secret", "/home", "/srv", str(root)):
        assert word not in text
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)
    assert getpass.getuser() not in json.dumps(json.loads(text)["host"])
    assert "secret-project" in hardware_to_json(hardware, private=True).decode()
    assert without_private(without_private(hardware)) == without_private(hardware)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   \n",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b'{"schema": "sft-advisor/hardware/v2"}',
        b'{"gpus": "two"}',
        b'{"gpus": [{"index": 0}]}',
        b'{"accelerator": "tpu"}',
        b'{"num_nodes": 0}',
        b'{"accelerator": "cuda", "gpus": [{"index": 0, "name": "x", "total_bytes": -5}]}',
        b'{"accelerator": "cuda", "gpus": [{"index": 0, "name": "x", "total_bytes": 5, "free_bytes": 6}]}',
        b'{"accelerator": "cpu", "gpus": [{"index": 0, "name": "x"}]}',
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "machine.json"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_profile(file)
    assert "machine.json" in caught.value.problems[0].what
    assert "probe --json" in caught.value.problems[0].fix


def test_unreadable_places(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json", Path("/proc/self/mem"), Path("/dev/zero")):
        with pytest.raises(InputError):
            load_profile(path)


def test_a_pipe_is_read_as_a_file(tmp_path: Path) -> None:
    import os
    import threading

    pipe = tmp_path / "machine"
    os.mkfifo(pipe)
    content = hardware_to_json(hardware_from_text("2x T4"))
    threading.Thread(target=lambda: pipe.write_bytes(content), daemon=True).start()
    assert len(hardware_from_text(str(pipe)).gpus) == 2


def test_a_folder_of_profiles_is_a_cluster(tmp_path: Path) -> None:
    for number in range(3):
        save_profile(server(f"card{number % 1}", 8, 70 + number), tmp_path / f"node-{number}.json")
    cluster = load_profile(tmp_path)
    assert (cluster.num_nodes, len(cluster.gpus)) == (3, 8)
    assert cluster.smallest_free_bytes == 70 * GIB
    assert cluster.host.ram_available_bytes == 70 * GIB
    (tmp_path / "node-9.json").write_text("{")
    with pytest.raises(InputError):
        load_profile(tmp_path)


def test_nodes_that_differ_are_planned_on_the_weakest() -> None:
    small, large = server("NVIDIA L4", 4, 20, link="pcie"), server("NVIDIA L4", 8, 70)
    cluster = merge_profiles([large, small])
    assert (cluster.num_nodes, len(cluster.gpus), cluster.link) == (2, 4, "pcie")
    assert cluster.smallest_free_bytes == 20 * GIB
    assert "the number of usable GPUs" in " ".join(finding.what for finding in cluster.findings)


def test_the_same_node_twice_is_told() -> None:
    node = server("NVIDIA L4", 2, 20)
    assert "nodes-repeated" in {finding.code for finding in merge_profiles([node, node]).findings}


def test_findings_of_nodes_are_kept_once() -> None:
    finding = Finding(code="x", severity="note", what="x")
    nodes = [server("NVIDIA L4", 1, 20 + n, findings=(finding,)) for n in range(2)]
    assert [f.code for f in merge_profiles(nodes).findings].count("x") == 1


def test_clusters_that_cannot_be() -> None:
    for nodes in ([], [server("NVIDIA L4", 1, 20), hardware_from_text("MI300X")]):
        with pytest.raises(InputError):
            merge_profiles(nodes)


def test_unknown_memory_of_one_node_is_unknown_for_all() -> None:
    node = server("NVIDIA L4", 1, 20)
    blind = msgspec.structs.replace(node, host=Host(output=Disk(path="x")))
    assert merge_profiles([node, blind]).host.ram_available_bytes is None


def test_nodes_probed_inside_one_job_are_counted_once(root: Path) -> None:
    env = {"SLURM_JOB_ID": "1", "SLURM_NNODES": "2"}
    nodes = [probe(env=env, root=root) for _ in range(2)]
    assert nodes[0].num_nodes == 2
    cluster = merge_profiles(nodes)
    assert cluster.num_nodes == 2
    assert "job-several-nodes" not in {finding.code for finding in cluster.findings}


def test_profiles_follow_their_schema(library: Path, root: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = msgspec.json.schema(Hardware)
    profiles = [machines.MIG_A100, machines.DESKTOP_4090, machines.LOST, machines.GB10]
    for hardware in [*machines.probe_machines(library, profiles, root=root), hardware_from_text("16x H100")]:
        jsonschema.validate(json.loads(hardware_to_json(hardware)), schema)
