"""CUDA_VISIBLE_DEVICES: the answers that CUDA gives (measured with torch's own reader, hardware notes 1.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.probe.hardware import Gpu
from advisor.probe.visible import cuda_order, visible_devices

PAIR = (
    Gpu(index=0, name="NVIDIA L4", uuid="GPU-00000000-aa"),
    Gpu(index=1, name="NVIDIA L4", uuid="GPU-00000001-bb"),
)
MIXED = (
    Gpu(index=0, name="NVIDIA GeForce RTX 3090", uuid="GPU-00000000-aa"),
    Gpu(index=1, name="NVIDIA GeForce RTX 5090", uuid="GPU-00000001-bb"),
)
SLICES = tuple(
    Gpu(
        index=0,
        name="NVIDIA A100-SXM4-80GB",
        kind="mig",
        uuid=f"MIG-0000000{slot}-cc",
        parent_uuid="GPU-00000000-aa",
        mig_ids=(slot + 1, 0),
    )
    for slot in (0, 2)
)


def seen(value: str | None, gpus: tuple[Gpu, ...] = PAIR, **env: str) -> tuple[int, ...]:
    given = env if value is None else {"CUDA_VISIBLE_DEVICES": value, **env}
    return visible_devices(given, gpus).positions


def said(value: str, gpus: tuple[Gpu, ...] = PAIR, **env: str) -> set[str]:
    return {finding.code for finding in visible_devices({"CUDA_VISIBLE_DEVICES": value, **env}, gpus).findings}


@pytest.mark.parametrize(
    ("value", "positions", "code"),
    [
        (None, (0, 1), None),
        ("", (), "visible-none"),
        ("-1", (), "visible-none"),
        ("0", (0,), None),
        ("1,0", (1, 0), None),
        (" 1 , 0 ", (1, 0), None),
        ("0,0", (), "visible-repeated"),
        ("2", (), "visible-out-of-range"),
        ("0,2,1", (0,), "visible-out-of-range"),
        ("0,-1,1", (0,), None),
        ("1x,0", (1, 0), None),
        ("+1", (1,), None),
        ("GPU-00000001", (1,), None),
        ("GPU-00000001-bb,GPU-00000000-aa", (1, 0), None),
        ("GPU-0000000", (), "visible-ambiguous"),
        ("GPU-ffff", (), "visible-unknown"),
        ("GPU-00000001-bb,0", (1,), "visible-unknown"),
        ("GPU-00000001-bb,GPU-00000001", (), "visible-repeated"),
        ("0,GPU-00000001-bb", (0,), None),
        ("NoDevFiles", (), "visible-none"),
        ("MIG-00000000-cc", (), "visible-unknown"),
    ],
)
def test_as_cuda_reads_it(value: str | None, positions: tuple[int, ...], code: str | None) -> None:
    assert seen(value) == positions
    assert code is None or code in said(value or "")


@pytest.mark.parametrize(
    ("value", "positions"),
    [
        ("MIG-00000002-cc", (1,)),
        ("MIG-00000002", (1,)),
        ("MIG-00000002-cc,MIG-00000000-cc", (1,)),
        ("MIG-GPU-00000000-aa/3/0", (1,)),
        ("MIG-GPU-00000000-aa/9/0", ()),
        ("0", (0,)),
        ("GPU-00000000-aa", (0,)),
        ("1", ()),
    ],
)
def test_one_mig_instance_at_most(value: str, positions: tuple[int, ...]) -> None:
    assert seen(value, SLICES) == positions


def test_several_instances_are_a_finding() -> None:
    assert "visible-one-instance" in said("MIG-00000002-cc,MIG-00000000-cc", SLICES)


def test_cuda_numbers_the_fastest_card_first() -> None:
    assert seen("0", MIXED) == (1,)
    assert seen("0", MIXED, CUDA_DEVICE_ORDER="PCI_BUS_ID") == (0,)
    assert "visible-order" in said("0", MIXED)
    assert "visible-order" not in said("0", MIXED, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert "visible-order" not in said("GPU-00000001-bb", MIXED)
    assert "visible-order" not in said("0", PAIR)


def test_unknown_cards_keep_the_order_of_the_slots() -> None:
    unknown = (Gpu(index=0, name="NVIDIA New"), Gpu(index=1, name="NVIDIA GeForce RTX 5090"))
    assert cuda_order({}, unknown) == [0, 1]


def test_a_card_without_permission_is_not_counted() -> None:
    gpus = (Gpu(index=0, name="NVIDIA L4", state="no_permission"), Gpu(index=1, name="NVIDIA L4", uuid="GPU-1"))
    assert seen("0", gpus) == (1,)


def test_a_mask_from_outside_a_job_is_explained() -> None:
    finding = visible_devices({"CUDA_VISIBLE_DEVICES": "5", "SLURM_JOB_ID": "1"}, PAIR).findings[0]
    assert "unset CUDA_VISIBLE_DEVICES" in finding.fix


@given(st.text(alphabet="0123456789,-+xGPUMIG/ \n", max_size=20))
def test_any_value_gives_distinct_positions_and_never_fails(value: str) -> None:
    for gpus in (PAIR, MIXED, SLICES, ()):
        positions = seen(value, gpus)
        assert len(set(positions)) == len(positions)
        assert all(0 <= position < len(gpus) for position in positions)


@pytest.mark.slow
def test_the_same_as_torch() -> None:
    """torch's reader is an independent witness where it is installed."""
    cuda = pytest.importorskip("torch.cuda")
    import os
    from unittest import mock

    for value in ("0", "1,0", "0,0", "-1", "1x,0", "0,-1,1", "+1", "", "NoDevFiles", " 1 , 0 "):
        with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": value}):
            assert tuple(cuda._parse_visible_devices()) == seen(value), value
