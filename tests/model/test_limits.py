"""A few bytes of a model file cannot ask for more memory or time than a model has use for."""

import json
import os
import struct
from pathlib import Path

import pytest

from advisor.base.errors import InputError
from advisor.model.families import built_families, spec_from_config
from advisor.model.folder import read_safetensors_header, spec_from_folder
from advisor.model.gguf import read_header
from advisor.model.limits import EXPERTS, HEADS, LAYERS, SAFETENSORS_HEADER_BYTES, SIZE, largest
from advisor.model.towers import form_of, towers_of

FIXTURES = Path(__file__).parents[1] / "fixtures"


def test_each_number_has_the_bound_of_its_kind() -> None:
    assert {largest(key) for key in ("num_hidden_layers", "n_layer", "first_k_dense_replace")} == {LAYERS}
    assert {largest(key) for key in ("num_experts", "n_routed_experts", "moe_num_experts")} == {EXPERTS}
    assert {largest(key) for key in ("num_attention_heads", "mamba_n_groups")} == {HEADS}
    assert {largest(key) for key in ("moe_intermediate_size", "expert_ffn_hidden_size", "vocab_size")} == {SIZE}


@pytest.mark.parametrize("family", sorted(built_families()))
def test_a_billion_blocks_are_refused_in_every_family(family: str) -> None:
    config = json.loads((FIXTURES / "security" / "config_billion_layers.json").read_bytes())
    counts = dict.fromkeys(("n_layer", "num_layers", "n_layers"), 10**9) | {"hybrid_override_pattern": "M" * 10**6}
    with pytest.raises(InputError, match="out of range"):
        spec_from_config({**config, "model_type": family, **counts})


def safetensors(folder: Path, header: bytes, data: bytes = b"") -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":["x","y"]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"\xff\xfe":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[99999999999999999999999],"data_offsets":[0,4]}}',
        (FIXTURES / "fuzz" / "fuzz-safetensors-TypeError-in-read-safetensors-header-117-020ebb").read_bytes()[8:],
    ],
)
def test_a_damaged_header_says_which_file_to_copy_again(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(InputError, match=r"model\.safetensors (is damaged|was cut short)"):
        read_safetensors_header(safetensors(tmp_path, header, b"\0" * 8))


def test_a_header_longer_than_the_library_takes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", SAFETENSORS_HEADER_BYTES + 1))
        file.truncate(SAFETENSORS_HEADER_BYTES * 4)
    with pytest.raises(InputError, match="cut short"):
        read_safetensors_header(path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer_config.json"])
def test_a_pipe_in_a_model_folder_is_refused_before_it_blocks(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    if name == "model.safetensors":
        with pytest.raises(InputError, match="pipe"):
            spec_from_folder(tmp_path)
    elif name == "config.json":
        with pytest.raises(InputError):
            spec_from_folder(tmp_path)
    else:
        assert spec_from_folder(tmp_path).has_chat_template is None


@pytest.mark.parametrize("case", sorted((FIXTURES / "fuzz").glob("fuzz-gguf-*")), ids=lambda case: case.name[-6:])
def test_a_gguf_header_is_read_or_refused_at_once(case: Path) -> None:
    try:
        header = read_header(case)
    except InputError:
        return
    assert len(header.tensors) < 1000


def gguf(folder: Path, keys: int, body: bytes) -> Path:
    path = folder / "x.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1, keys) + body)
    return path


@pytest.mark.parametrize(
    ("keys", "body"),
    [
        (1 << 60, b""),
        (4_000_000, b"\0" * 4000),
        (0, struct.pack("<Q", 1) + b"t" + struct.pack("<I", 2**32 - 1)),
        (1, struct.pack("<Q", 1) + b"k" + struct.pack("<IIQQ", 9, 8, 1000, 2**63)),
        (1, struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 8, 2**40)),
        (1, struct.pack("<Q", 2**63)),
    ],
)
def test_counts_of_a_gguf_header_are_bounded(tmp_path: Path, keys: int, body: bytes) -> None:
    with pytest.raises(InputError, match="damaged"):
        read_header(gguf(tmp_path, keys, body))


def test_a_part_for_images_beyond_any_is_not_counted() -> None:
    size = {"depth": 10**9, "hidden_size": 10**9, "intermediate_size": 10**9}
    form = form_of({"model_type": "qwen2_5_vl"})
    assert form is not None
    assert towers_of(form, {"model_type": "qwen2_5_vl", "vision_config": size}, 64) is None
    assert towers_of(form, {"model_type": "qwen2_5_vl", "vision_config": {"depth": 2}}, 64)
