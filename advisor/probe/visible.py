"""CUDA_VISIBLE_DEVICES read exactly as CUDA reads it: which GPUs this process sees, in which order.

    unset -> all    "" -> none    "1,0" -> 1, 0    "-1" -> none    "0,2,1" of two cards -> 0    "0,0" -> none
    "1x,0" -> 1, 0    "GPU-2f" -> the card whose UUID starts so, none when two do    "NoDevFiles" -> none

Indices count in CUDA's order, which is fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID; NVML counts in PCI order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from advisor.base.language import later, tr
from advisor.probe.catalogue import lookup
from advisor.probe.hardware import Finding, Gpu

_OLD_MIG = re.compile(r"^MIG-(GPU-[^/]+)/(\d{1,9})/(\d{1,9})$")
_USE_UUID = later("Name the cards by UUID: export CUDA_VISIBLE_DEVICES=GPU-... (nvidia-smi -L lists them).")


class Visible(msgspec.Struct, frozen=True, kw_only=True):
    """Positions in the list of GPUs, in the order of cuda:0, cuda:1, ..., and why entries were dropped."""

    positions: tuple[int, ...]
    findings: tuple[Finding, ...] = ()


def visible_devices(env: Mapping[str, str], gpus: Sequence[Gpu]) -> Visible:
    """Which of `gpus` this process may use. MIG instances are listed one by one; CUDA takes one of them at most."""
    value = env.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return Visible(positions=tuple(range(len(gpus))))
    if value.startswith("GPU-"):
        found, finding = _by_prefix(value, "GPU-", gpus)
    elif value.startswith("MIG-"):
        found, finding = _by_prefix(value, "MIG-", gpus)
    else:
        found, finding = _by_number(value, env, gpus)
    findings = [] if finding is None else [finding]
    if any(gpus[position].kind == "mig" for position in found) and len(found) > 1:
        first = next(position for position in found if gpus[position].kind == "mig")
        found = [first]
        findings.append(_one_instance_only())
    if _order_matters(value, env, gpus):
        findings.append(_order_finding(gpus, found))
    return Visible(positions=tuple(found), findings=tuple(findings))


def cuda_order(env: Mapping[str, str], gpus: Sequence[Gpu]) -> list[int]:
    """Positions of the cards (a card cut into MIG instances counts once, by its first one) as CUDA numbers them.

    Fastest first is CUDA's default; the speed comes from the catalogue. Where it is not known, PCI order stands.
    """
    first_of: dict[int, int] = {}
    for position, gpu in enumerate(gpus):
        if gpu.state != "no_permission":  # CUDA does not count a card that it may not open
            first_of.setdefault(gpu.index, position)
    positions = list(first_of.values())
    if env.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return positions
    speeds = {position: _speed(gpus[position]) for position in positions}
    if None in speeds.values():
        return positions
    return sorted(positions, key=lambda position: -(speeds[position] or 0.0))


def _by_number(value: str, env: Mapping[str, str], gpus: Sequence[Gpu]) -> tuple[list[int], Finding | None]:
    order = cuda_order(env, gpus)
    found: list[int] = []
    for entry in value.split(","):
        number = _c_number(entry.strip())
        if number is None or number < 0:
            return found, _hides(value, found, gpus)
        if number >= len(order):
            return found, _out_of_range(number, len(order), env)
        if order[number] in found:
            return [], _repeated()
        found.append(order[number])
    return found, None


def _by_prefix(value: str, prefix: str, gpus: Sequence[Gpu]) -> tuple[list[int], Finding | None]:
    found: list[int] = []
    for entry in value.split(","):
        entry = entry.strip()
        if not entry.startswith(prefix):
            return found, _unknown_entry(tr("an entry of another kind"))
        matches = [position for position, gpu in enumerate(gpus) if _named_by(entry, gpu)] or _slice_of(entry, gpus)
        if not matches:
            return found, _unknown_entry(tr("a UUID that no card here has"))
        if len(matches) > 1:
            return [], _ambiguous()
        if matches[0] in found:
            return [], _repeated()
        found += matches
    return found, None


def _named_by(entry: str, gpu: Gpu) -> bool:
    if old := _OLD_MIG.match(entry):
        return gpu.kind == "mig" and gpu.parent_uuid == old[1] and gpu.mig_ids == (int(old[2]), int(old[3]))
    return gpu.uuid is not None and gpu.uuid.startswith(entry)


def _slice_of(entry: str, gpus: Sequence[Gpu]) -> list[int]:
    """The first MIG instance of each card whose own UUID starts so."""
    first: dict[str, int] = {}
    for position, gpu in enumerate(gpus):
        if gpu.parent_uuid is not None and gpu.parent_uuid.startswith(entry):
            first.setdefault(gpu.parent_uuid, position)
    return list(first.values())


def _c_number(text: str) -> int | None:
    """A number as C reads it: a sign, digits, and whatever follows is ignored; None without digits.

    Beyond 19 digits it is out of the range of any card either way.
    """
    match = re.match(r"[+-]?[0-9]+", text)
    return int(match[0][:20]) if match else None


def _speed(gpu: Gpu) -> float | None:
    card = lookup(gpu.name)
    return None if card is None else (card.bf16_dense_tflops or card.fp16_dense_tflops)


def _order_matters(value: str, env: Mapping[str, str], gpus: Sequence[Gpu]) -> bool:
    by_number = not value.startswith(("GPU-", "MIG-")) and _c_number(value.strip()) is not None
    return by_number and "CUDA_DEVICE_ORDER" not in env and len({gpu.name for gpu in gpus}) > 1


def _order_finding(gpus: Sequence[Gpu], found: Sequence[int]) -> Finding:
    names = ", ".join(gpus[position].name for position in found) or tr("no card")
    return Finding(
        code="visible-order",
        severity="warning",
        what=tr("CUDA_VISIBLE_DEVICES names cards by number, and the cards differ: read as {names}.", names=names),
        why=tr("CUDA numbers the fastest card first, nvidia-smi in the order of the slots."),
        fix=tr("{use_uuid} Or export CUDA_DEVICE_ORDER=PCI_BUS_ID.", use_uuid=tr(_USE_UUID)),
    )


def _hides(value: str, found: Sequence[int], gpus: Sequence[Gpu]) -> Finding | None:
    if found or not gpus:
        return None
    shown = tr("is empty") if not value else tr("hides every GPU")
    return Finding(
        code="visible-none",
        severity="warning",
        what=tr(
            "CUDA_VISIBLE_DEVICES {shown}: this process sees none of {num_gpus}.", shown=shown, num_gpus=len(gpus)
        ),
        why=tr("An empty, negative or unreadable value makes CUDA see no GPU."),
        fix=tr("unset CUDA_VISIBLE_DEVICES, or name the cards to use."),
    )


def _out_of_range(number: int, count: int, env: Mapping[str, str]) -> Finding:
    in_job = "SLURM_JOB_ID" in env or "KUBERNETES_SERVICE_HOST" in env
    why = tr("CUDA stops reading at the first number that does not exist.")
    if in_job:
        why += tr(" Inside a job the cards are numbered from 0; the value was probably set outside it.")
    return Finding(
        code="visible-out-of-range",
        severity="warning",
        what=tr(
            "CUDA_VISIBLE_DEVICES names GPU {number}, but this process can reach {count}.", number=number, count=count
        ),
        why=why,
        fix="unset CUDA_VISIBLE_DEVICES" if in_job else tr("Use numbers below {count}, or UUIDs.", count=count),
    )


def _repeated() -> Finding:
    return Finding(
        code="visible-repeated",
        severity="warning",
        what=tr("CUDA_VISIBLE_DEVICES names a GPU twice."),
        why=tr("CUDA then sees no GPU at all."),
        fix=tr("Name each GPU once."),
    )


def _ambiguous() -> Finding:
    return Finding(
        code="visible-ambiguous",
        severity="warning",
        what=tr("CUDA_VISIBLE_DEVICES holds the start of a UUID that fits several GPUs."),
        why=tr("CUDA then sees no GPU at all."),
        fix=tr("Write more of the UUID (nvidia-smi -L)."),
    )


def _unknown_entry(what: str) -> Finding:
    return Finding(
        code="visible-unknown",
        severity="warning",
        what=tr("CUDA_VISIBLE_DEVICES holds {what}.", what=what),
        why=tr("CUDA ignores it and everything after it."),
        fix=tr("Compare with nvidia-smi -L."),
    )


def _one_instance_only() -> Finding:
    return Finding(
        code="visible-one-instance",
        severity="warning",
        what=tr("CUDA_VISIBLE_DEVICES selects several MIG instances; CUDA uses only the first."),
        why=tr("One process sees one MIG instance, and instances cannot exchange data."),
        fix=tr("Name one instance; train other models on the others."),
    )
