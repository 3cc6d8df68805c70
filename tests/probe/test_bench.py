"""The speed of a device, measured once and kept: torch runs for real, on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from advisor.probe import bench, hardware_from_text, hardware_to_json, load_profile
from advisor.probe.hardware import Gpu, Hardware, Host, Rates

FAST = Rates(dtype="bfloat16", matrix_tflops=120.0, copy_gbs=700.0, link_gbs=25.0)
CPU = Rates(dtype="float32", matrix_tflops=0.3, copy_gbs=20.0, threads=4)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.slow
def test_the_cpu_is_measured_in_a_child_process():
    found = bench.measure(seconds_each=0.05)
    assert found.error == ""
    assert found.rates is not None
    assert found.rates.dtype == "float32"
    assert found.rates.threads is not None and found.rates.threads >= 1
    assert 0.0001 < found.rates.matrix_tflops < 100
    assert 0.1 < found.rates.copy_gbs < 2000
    assert found.rates.link_gbs is None


def test_a_machine_without_torch_says_why_and_keeps_nothing(home: Path):
    (home / "torch.py").write_text("raise ImportError('no torch here')\n")
    found = bench.measure({"PATH": "/usr/bin", "PYTHONPATH": str(home)}, seconds_each=0.01)
    assert found.rates is None
    assert "no torch here" in found.error
    assert bench.kept() == {}


def test_rates_of_several_devices_are_kept_side_by_side():
    bench.keep("Voodoo 2", FAST)
    bench.keep("Slow CPU", CPU)
    assert bench.kept() == {"Voodoo 2": FAST, "Slow CPU": CPU}


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"Voodoo 2": {}}', b"\xff\xfe"])
def test_a_damaged_file_is_as_none(home: Path, content: bytes):
    (home / bench.FILE_NAME).write_bytes(content)
    assert bench.kept() == {}


def test_only_devices_that_no_catalogue_knows_get_measured_rates():
    bench.keep("Voodoo 2", FAST)
    bench.keep("NVIDIA GeForce RTX 4090", FAST)
    bench.keep("Slow CPU", CPU)
    known = hardware_from_text("RTX 4090").gpus[0]
    machine = Hardware(gpus=(Gpu(index=0, name="Voodoo 2"), known), host=Host(cpu_name="Slow CPU"))
    seen = bench.with_kept_rates(machine)
    assert [gpu.measured for gpu in seen.gpus] == [FAST, None]
    assert seen.host.measured == CPU


def test_measured_rates_travel_with_a_saved_profile(tmp_path: Path):
    described = hardware_from_text("RTX 4090")
    (gpu,) = described.gpus
    machine = replace(
        described, gpus=(replace(gpu, name="Voodoo 2", measured=FAST),), host=replace(described.host, measured=CPU)
    )
    saved = tmp_path / "machine.json"
    saved.write_bytes(hardware_to_json(machine))
    again = load_profile(saved)
    assert again.gpus[0].measured == FAST
    assert again.host.measured == CPU


def test_a_machine_that_is_only_described_cannot_be_measured(capsys: pytest.CaptureFixture[str]):
    from advisor.commands.cli import main

    assert main(["probe", "bench", "--hardware", "RTX 4090"]) == 2
    assert "on that machine" in capsys.readouterr().err
