"""The doctor: which build of torch a machine needs, and a verdict on each method that was really tried."""

from __future__ import annotations

import msgspec
import pytest

from advisor.probe import hardware_from_text
from advisor.probe.diagnosis import Diagnosis
from advisor.probe.doctor import _readiness, doctor
from advisor.probe.doctor_checks import build_checks, driver_check, package_checks, tried_checks
from advisor.probe.doctor_children import Answer, run_child
from advisor.probe.hardware import Finding, Hardware, Software
from advisor.probe.wheels import choose_wheel, unsupported
from tests.documents import validated
from trainers.method import METHODS
from trainers.versions import window

COMPLETE = Software(
    python="3.11",
    torch="2.13.0",
    torch_build="cu130",
    transformers="5.23.0",
    peft="0.21.2",
    trl="1.16.0",
    accelerate="1.15.0",
    datasets="5.2.0",
    bitsandbytes="0.50.2",
)


def machine(text: str, driver: str | None = "580.95.05", software: Software = COMPLETE) -> Hardware:
    return msgspec.structs.replace(
        hardware_from_text(text), origin="measured", driver_version=driver, cuda_version="13.0", software=software
    )


@pytest.mark.parametrize(
    ("text", "driver", "build"),
    [
        ("H100", "580.95.05", "cu130"),
        ("H100", "550.54.15", "cu126"),
        ("RTX 4090", "535.129.03", "cu126"),
        ("V100", "580.95.05", "cu126"),
        ("T4", "580.95.05", "cu130"),
        ("B200", "575.57.08", "cu129"),
        ("RTX 5090", "580.95.05", "cu130"),
        ("RTX 4090", None, "cu130"),
        ("H100", "470.82.01", None),
        ("1x V100 + 1x RTX 5090", "580.95.05", None),
        ("MI300X", None, "rocm7.2"),
        ("Arc B580", None, "xpu"),
        ("M3 Max 64GB", None, "mps"),
        ("cpu", None, "cpu"),
    ],
)
def test_the_build_that_runs_everywhere_here(text: str, driver: str | None, build: str | None) -> None:
    choice = choose_wheel(machine(text, driver))
    assert choice.build == build
    assert choice.why
    assert (build is None) == bool(choice.fix) and (build is None) == (choice.command == "")


def test_machine_code_runs_on_the_same_major_version_only() -> None:
    assert unsupported([86, 89], (80, 90)) == []
    assert unsupported([70], (75, 80)) == [70]
    assert unsupported([120], (80, 90, 100)) == [120]
    assert unsupported([121, 103], (100, 120)) == []


def verdicts(hardware: Hardware, software: Software = COMPLETE, **answers: Answer) -> dict[str, tuple[str, str]]:
    checks = [
        driver_check(hardware),
        *package_checks(hardware, software),
        *build_checks(hardware, software),
        *tried_checks(hardware, software, answers),
    ]
    return {m: (r.verdict, " ; ".join(r.commands)) for m in METHODS for r in [_readiness(m, checks)]}


def tried(device: str = "cuda", error: float = 0.1) -> dict[str, Answer]:
    return {
        "torch": Answer(values={"device": device, "finite": True}),
        "bitsandbytes": Answer(values={"device": device, "error": error, "gradient": True}),
        "trainers": Answer(values={"trl": "1.16.0"}),
    }


def test_a_complete_installation_works() -> None:
    assert {verdict for verdict, _ in verdicts(machine("RTX 4090"), **tried()).values()} == {"works"}


def test_the_most_common_fault_a_cpu_build_beside_a_card() -> None:
    software = msgspec.structs.replace(COMPLETE, torch="2.13.0+cpu", torch_build="cpu")
    found = verdicts(machine("RTX 4090", software=software), software, **tried("cpu"))
    for verdict, commands in found.values():
        assert verdict == "works_after"
        assert "--index-url https://download.pytorch.org/whl/cu130" in commands


def test_a_driver_too_old_for_the_build() -> None:
    found = verdicts(machine("RTX 4090", "535.129.03"), **tried("cpu"))
    assert found["lora"][0] == "works_after" and "whl/cu126" in found["lora"][1]


def test_a_card_that_the_build_has_no_code_for() -> None:
    found = verdicts(machine("V100"), **tried())
    assert found["qlora"][0] == "works_after" and "whl/cu126" in found["qlora"][1]


def test_no_build_for_two_generations_is_cannot() -> None:
    assert verdicts(machine("1x V100 + 1x RTX 5090"), **tried())["full"][0] == "cannot"


def test_each_missing_package_blocks_only_what_needs_it() -> None:
    found = verdicts(machine("RTX 4090"), msgspec.structs.replace(COMPLETE, bitsandbytes=None), **tried())
    assert found["lora"][0] == "works"
    verdict, command = found["qlora"]
    assert verdict == "works_after" and command.startswith("python -m pip install 'bitsandbytes")
    without_peft = verdicts(machine("RTX 4090"), msgspec.structs.replace(COMPLETE, peft=None), **tried())
    assert (without_peft["full"][0], without_peft["lora"][0]) == ("works", "works_after")
    nothing = verdicts(machine("RTX 4090"), Software(python="3.11"))
    assert {verdict for verdict, _ in nothing.values()} == {"works_after"}
    torch, others = nothing["lora"][1].split(" ; ")
    assert torch.endswith("torch --index-url https://download.pytorch.org/whl/cu130")
    assert others.count("pip install") == 1 and "'peft" in others and "'trl" in others


@pytest.mark.parametrize(
    "answer",
    [
        Answer(error="RuntimeError: CUDA Setup failed"),
        Answer(error="the process was ended by signal 11"),
        Answer(values={"device": "cuda", "error": 0.9, "gradient": True}),
        Answer(values={"device": "cuda", "error": 0.1, "gradient": False}),
    ],
)
def test_qlora_is_ready_only_when_the_product_was_right(answer: Answer) -> None:
    found = verdicts(machine("RTX 4090"), **{**tried(), "bitsandbytes": answer})
    assert found["qlora"][0] == "works_after" and "bitsandbytes" in found["qlora"][1]
    assert found["lora"][0] == "works"


def test_a_driver_that_cannot_be_used_gives_its_remedy() -> None:
    finding = Finding(code="nvml-version-mismatch", severity="error", what="driver", why="upgraded", fix="Reboot.")
    broken = Hardware(state="unusable", findings=(finding,), software=COMPLETE)
    assert verdicts(broken)["full"] == ("works_after", "Reboot.")


def test_a_gpu_that_only_torch_sees_is_no_failure() -> None:
    found = verdicts(machine("cpu"), **tried("cuda"))
    assert found["lora"][0] == "works"


def test_optional_kernels_never_block() -> None:
    answers = {**tried(), "flash_attn": Answer(error="undefined symbol"), "liger": Answer(values={"loaded": True})}
    hardware = machine("RTX 4090")
    assert {verdict for verdict, _ in verdicts(hardware, **answers).values()} == {"works"}
    assert "uninstall flash-attn" in str(tried_checks(hardware, COMPLETE, answers))


def test_children_that_crash_hang_or_chatter_are_survived() -> None:
    assert "signal" in run_child("import os; os.kill(os.getpid(), 11)").error
    assert run_child("import time; time.sleep(60)", limit_seconds=1).timed_out
    assert run_child("raise ValueError('no such thing')").error == "ValueError: no such thing"
    assert "code 3" in run_child("sys.exit(3)").error
    assert run_child("print('noise'); tell(value=1); print('more')").values == {"value": 1}


@pytest.mark.slow
def test_this_installation_is_really_tried() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("bitsandbytes")
    diagnosis = doctor()
    product = next(check for check in diagnosis.checks if check.name == "4-bit product")
    assert product.outcome == "ok", product
    validated("doctor", diagnosis)
    assert diagnosis.ready
    assert {method.method: method.verdict for method in diagnosis.methods}["qlora"] == "works"
    assert msgspec.json.decode(msgspec.json.encode(diagnosis), type=Diagnosis) == diagnosis


def test_a_version_that_was_not_tested_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.versions._asked_for", lambda: ["peft>=0.20,<0.22"])
    window.cache_clear()
    for version, verdict in (
        ("0.21.2", "works"),
        ("0.19.0", "works_after"),
        ("0.22.0", "works_after"),
        ("odd", "works_after"),
    ):
        software = msgspec.structs.replace(COMPLETE, peft=version)
        found = verdicts(machine("RTX 4090"), software, **tried())
        assert found["lora"][0] == verdict, version
        assert found["full"][0] == "works"
    window.cache_clear()
