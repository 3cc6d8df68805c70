"""Saved machines: one profile per node as JSON, read back, and several gathered into one cluster.

    save_profile(probe(), Path("machine.json"))
    load_profile(Path("machine.json"))              -> Hardware, origin "profile"
    merge_profiles([node0, node1])                  -> Hardware with num_nodes = 2

A saved profile holds no host name, user name or path unless `private=True`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from advisor.base.errors import InputError, Problem
from advisor.base.language import later, tr
from advisor.probe.hardware import HARDWARE_SCHEMA, Disk, Finding, Gpu, Hardware, Host
from trainers.foreign.files import read_small_file
from trainers.writing import write_atomically

MAX_PROFILE_BYTES = 16 * 1024**2
_REMAKE = later("Make one with: sft-advisor probe --json > machine.json")
_WEAKEST_LINK = ("unknown", "pcie", "p2p", "nvlink")


def hardware_to_json(hardware: Hardware, *, private: bool = False) -> bytes:
    """The profile as indented JSON. `private` keeps paths and process names."""
    record = hardware if private else without_private(hardware)
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def save_profile(hardware: Hardware, path: Path, *, private: bool = False) -> None:
    """Write the profile to `path`, whole or not at all. Raises OSError when the folder cannot be written."""
    write_atomically(path, hardware_to_json(hardware, private=private))


def without_private(hardware: Hardware) -> Hardware:
    """The same machine without paths and without names of processes (both reveal who uses it)."""
    host = hardware.host
    return msgspec.structs.replace(
        hardware,
        gpus=tuple(_anonymous(gpu) for gpu in hardware.gpus),
        host=msgspec.structs.replace(
            host,
            output=_unnamed(host.output, "output"),
            cache=_unnamed(host.cache, "cache"),
            temp=_unnamed(host.temp, "temp"),
        ),
    )


def load_profile(path: Path) -> Hardware:
    """The machine saved at `path`, or the cluster of the profiles in a folder. Raises InputError otherwise."""
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise InputError(_problem(path, tr("the folder holds no *.json profile")))
        problems: list[Problem] = []
        nodes: list[Hardware] = []
        for file in files:
            try:
                nodes.append(load_profile(file))
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(*problems)
        return nodes[0] if len(nodes) == 1 else merge_profiles(nodes)
    hardware = _decode(path, _content(path))
    faults = _faults(hardware)
    if faults:
        raise InputError(*(_problem(path, fault) for fault in faults))
    origin = hardware.origin if hardware.origin == "described" else "profile"
    return msgspec.structs.replace(hardware, origin=origin)


def merge_profiles(nodes: Sequence[Hardware]) -> Hardware:
    """One cluster out of the profiles of its nodes: as many GPUs per node as the smallest node has, with the memory
    and the host of the tightest one. Differences between the nodes become findings.

    Raises InputError for no node, or for nodes whose accelerators differ.
    """
    if not nodes:
        raise InputError(
            Problem(what=tr("no node profile was given"), why=tr("a cluster has at least one"), fix=tr(_REMAKE))
        )
    kinds = sorted({node.accelerator for node in nodes})
    if len(kinds) > 1:
        raise InputError(
            Problem(
                what=tr("the nodes have different accelerators: {kinds}", kinds=", ".join(kinds)),
                why=tr("one run uses one kind"),
                fix=tr("Merge only the profiles of nodes of one kind."),
            )
        )
    nodes = [_alone(node) for node in nodes]
    per_node = min(len(node.usable_gpus) for node in nodes)
    tightest = min(nodes, key=lambda node: _memory_of_best(node, per_node))
    return msgspec.structs.replace(
        tightest,
        origin="profile",
        gpus=_best_gpus(tightest, per_node),
        host=_tightest_host([node.host for node in nodes]),
        num_nodes=sum(node.num_nodes for node in nodes),
        link=min((node.link for node in nodes), key=_WEAKEST_LINK.index),
        findings=tuple(dict.fromkeys(finding for node in nodes for finding in node.findings))
        + tuple(_differences(nodes, per_node)),
    )


def _alone(node: Hardware) -> Hardware:
    """A node that was probed inside a job counts as itself, not as all nodes of the job."""
    kept = tuple(finding for finding in node.findings if finding.code != "job-several-nodes")
    if len(kept) == len(node.findings):
        return node
    return msgspec.structs.replace(node, num_nodes=1, findings=kept)


def _best_gpus(node: Hardware, count: int) -> tuple[Gpu, ...]:
    best = sorted(node.usable_gpus, key=lambda gpu: -(gpu.free_bytes or 0))[:count]
    return tuple(gpu for gpu in node.usable_gpus if gpu in best)[:count]


def _memory_of_best(node: Hardware, count: int) -> int:
    return min((gpu.free_bytes or 0 for gpu in _best_gpus(node, count)), default=0)


def _tightest_host(hosts: Sequence[Host]) -> Host:
    def least(field: str) -> int | None:
        values = [getattr(host, field) for host in hosts]
        return None if None in values else min(values)

    fields = ("ram_total_bytes", "ram_available_bytes", "cpu_cores", "shm_bytes")
    return msgspec.structs.replace(hosts[0], **{field: least(field) for field in fields}, rank=None)


def _differences(nodes: Sequence[Hardware], per_node: int) -> list[Finding]:
    seen: dict[str, set[int] | set[str] | set[str | None]] = {
        "the number of usable GPUs": {len(node.usable_gpus) for node in nodes},
        "the GPU model": {gpu.name for node in nodes for gpu in node.usable_gpus},
        "the driver": {node.driver_version for node in nodes},
        "the installed torch": {node.software.torch if node.software else None for node in nodes},
    }
    uuids = [gpu.uuid for node in nodes for gpu in node.gpus if gpu.uuid]
    findings = [
        Finding(
            code="nodes-differ",
            severity="warning",
            what=tr("The nodes differ in {name}: {values}.", name=name, values=", ".join(sorted(map(str, values)))),
            why=tr("Every step waits for the slowest node, and all nodes need the same software."),
            fix=tr(
                "The plan uses {per_node} GPU(s) on each node and the memory of the tightest one.", per_node=per_node
            ),
        )
        for name, values in seen.items()
        if len(values) > 1
    ]
    if len(set(uuids)) < len(uuids):
        findings.append(
            Finding(
                code="nodes-repeated",
                severity="warning",
                what=tr("Two profiles show the same GPU."),
                why=tr("The same node was probably given twice."),
                fix=tr("Give one profile per node."),
            )
        )
    return findings


def _content(path: Path) -> bytes:
    try:
        # a pipe is welcome: --hardware <(ssh node sft-advisor probe --json)
        return read_small_file(path, MAX_PROFILE_BYTES, pipes=True)
    except FileNotFoundError:
        raise InputError(_problem(path, tr("there is no such file"))) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(_problem(path, tr("it cannot be read ({reason})", reason=reason))) from None


def _decode(path: Path, content: bytes) -> Hardware:
    if not content.strip():
        raise InputError(_problem(path, tr("it is empty")))
    try:
        raw = msgspec.json.decode(content)
        if isinstance(raw, dict) and "schema" not in raw:
            # every field has a default, so that any object would pass for a machine without GPUs
            raise InputError(
                _problem(path, tr("it does not name the schema {hardware_schema}", hardware_schema=HARDWARE_SCHEMA))
            )
        return msgspec.convert(raw, Hardware)
    except msgspec.ValidationError as error:
        raise InputError(
            _problem(
                path,
                tr(
                    "it is JSON, but not a profile of schema {hardware_schema}: {error}",
                    hardware_schema=HARDWARE_SCHEMA,
                    error=error,
                ),
            )
        ) from None
    except RecursionError:
        raise InputError(_problem(path, tr("it is nested too deeply"))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(_problem(path, tr("it is not JSON in UTF-8 ({error})", error=error))) from None


def _faults(hardware: Hardware) -> list[str]:
    """Figures that contradict each other, so that no machine can have them."""
    faults = [] if hardware.num_nodes >= 1 else [tr("num_nodes is below 1")]
    for gpu in hardware.gpus:
        amounts = {
            "total": gpu.total_bytes,
            "reserved": gpu.reserved_bytes,
            "used": gpu.used_bytes,
            "free": gpu.free_bytes,
        }
        faults += [
            tr("gpus[{index}].{name}_bytes is negative", index=gpu.index, name=name)
            for name, value in amounts.items()
            if (value or 0) < 0
        ]
        if gpu.total_bytes is not None and (gpu.free_bytes or 0) > gpu.total_bytes:
            faults.append(tr("gpus[{index}] has more free memory than memory", index=gpu.index))
    if hardware.gpus and hardware.accelerator == "cpu":
        faults.append(tr("it lists GPUs but its accelerator is cpu"))
    return faults


def _anonymous(gpu: Gpu) -> Gpu:
    processes = tuple(msgspec.structs.replace(process, name=None) for process in gpu.processes)
    return msgspec.structs.replace(gpu, processes=processes)


def _unnamed(disk: Disk | None, label: str) -> Disk | None:
    return None if disk is None else msgspec.structs.replace(disk, path=label)


def _problem(path: Path, why: str) -> Problem:
    return Problem(
        what=tr("{path} is not a hardware profile", path=path), why=why, fix=tr(_REMAKE), where="--hardware"
    )
