"""A local model folder: config.json, exact counts from safetensors headers, tokenizer and chat template."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from advisor.base.errors import InputError, Problem
from advisor.base.language import tr
from advisor.model.families import spec_from_config
from advisor.model.limits import SAFETENSORS_HEADER_BYTES
from advisor.model.spec import ModelSpec, NativeQuant
from advisor.model.stored import MODELOPT_FILE, with_modelopt
from trainers.foreign.files import CONFIG_BYTES, TOKENIZER_CONFIG_BYTES, read_small_file, require_plain_file

T = TypeVar("T")
_DTYPE_NAMES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


class Tensor(msgspec.Struct, frozen=True):
    """One entry of a safetensors header."""

    dtype: Annotated[str, Meta(max_length=16)]
    shape: tuple[Annotated[int, Meta(ge=0, le=2**63 - 1)], ...]
    data_offsets: tuple[Annotated[int, Meta(ge=0, le=2**63 - 1)], Annotated[int, Meta(ge=0, le=2**63 - 1)]] = (0, 0)
    """First byte and the one after the last, counted from the end of the header."""

    @property
    def numel(self) -> int:
        """Elements of the tensor."""
        total = 1
        for length in self.shape:
            total *= length
        return total


def spec_from_folder(folder: Path) -> ModelSpec:
    """The model saved in `folder`.

    Shapes come from config.json; the stored weights, where there are any, say their dtype and size and are compared
    with it. Raises InputError for a missing, truncated, wrongly encoded or contradictory file.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise _no_config(folder)
    config = read_config(path)
    spec = spec_from_config(config, folder.resolve().name, "folder", str(path))
    tensors, stored_bytes = read_weights(folder)
    tokenizer = folder / "tokenizer.json"
    notes = list(spec.notes)
    if tensors:
        notes += _differences(spec, tensors)
    return msgspec.structs.replace(
        spec,
        path=str(folder),
        notes=tuple(notes),
        native_quant=_stored_quant(tensors) if spec.native_quant == "none" else spec.native_quant,
        torch_dtype=_stored_dtype(tensors) or spec.torch_dtype,
        weight_file_bytes=stored_bytes,
        has_chat_template=has_chat_template(folder),
        tokenizer_path=str(tokenizer) if tokenizer.is_file() else None,
    )


def read_config(path: Path) -> Mapping[str, Any]:
    """A config.json with what ModelOpt wrote beside it. Raises InputError, which says how a file is broken."""
    beside = path.with_name(MODELOPT_FILE)
    return with_modelopt(read_json_object(path), read_json_object(beside) if beside.is_file() else {})


def read_json_object(path: Path, limit_bytes: int = CONFIG_BYTES) -> dict[str, Any]:
    """The object in a JSON file. Raises InputError, which says how the file is broken."""
    content = _read(path, limit_bytes)
    if not content.strip():
        raise _broken(path, tr("is empty"))
    try:
        content.decode()
        value = _decoded(content.removeprefix(b"\xef\xbb\xbf"))
    except UnicodeDecodeError as error:
        raise _broken(path, tr("is not UTF-8 text (byte {start})", start=error.start)) from error
    except msgspec.DecodeError as error:
        raise _broken(path, tr("is not valid JSON: {error}", error=error)) from error
    except RecursionError as error:
        raise _broken(path, tr("is nested too deeply")) from error
    if not isinstance(value, dict):
        raise _broken(path, tr("does not hold a JSON object"))
    return value


def _decoded(content: bytes) -> Any:
    """The value; Python writes Infinity and NaN into JSON, which the standard does not know. Raises DecodeError."""
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        if not re.search(rb"\b(Infinity|NaN)\b", content):
            raise
        try:
            return json.loads(content)
        except ValueError:
            pass
        raise


def read_weights(folder: Path) -> tuple[dict[str, Tensor], int | None]:
    """Every stored tensor by name, and the size of the weight files in bytes; ({}, None) when there are none."""
    files = sorted(folder.glob("*.safetensors"))
    if any(file.name.startswith("model") for file in files):
        files = [file for file in files if file.name.startswith("model")]
    if files:
        tensors: dict[str, Tensor] = {}
        for file in files:
            tensors |= read_safetensors_header(file)
        return tensors, sum(file.stat().st_size for file in files)
    pickled = sorted(folder.glob("pytorch_model*.bin"))
    return {}, sum(file.stat().st_size for file in pickled) or None


def read_safetensors_header(path: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file, from its header. Raises InputError when it is cut short or damaged."""
    raw, data_bytes = _header(path)
    raw.pop("__metadata__", None)
    tensors = {name: _as(Tensor, entry, path) for name, entry in raw.items()}
    _check_offsets(path, tensors, data_bytes)
    return tensors


def read_metadata(path: Path) -> dict[str, Any]:
    """What the header of a safetensors file says of itself in words; raises InputError as the tensors do."""
    said = _header(path)[0].get("__metadata__")
    return {} if said is None else _as(dict[str, Any], said, path)


def _header(path: Path) -> tuple[dict[str, msgspec.Raw], int]:
    """The entries, and the bytes of data behind the header. Raises InputError."""
    try:
        size = require_plain_file(path)
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(SAFETENSORS_HEADER_BYTES, size - 8):
                raise _broken(path, tr("is not a safetensors file, or was cut short"))
            header = file.read(length)
    except OSError as error:
        raise _broken(path, tr("cannot be read: {strerror}", strerror=error.strerror)) from error
    return _as(dict[str, msgspec.Raw], header, path), size - 8 - length


def _as(kind: type[T], encoded: bytes | msgspec.Raw, path: Path) -> T:
    try:
        return msgspec.json.decode(encoded, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(path, tr("is damaged: its header cannot be read ({error})", error=error)) from error


def _check_offsets(path: Path, tensors: Mapping[str, Tensor], data_bytes: int) -> None:
    """The tensors lie inside the file, one behind the other: safetensors loads nothing else."""
    end = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.data_offsets):
        start, stop = tensor.data_offsets
        if stop > data_bytes:
            raise _broken(
                path,
                tr(
                    "was cut short: {stop:,} bytes of data expected, {data_bytes:,} there",
                    stop=stop,
                    data_bytes=data_bytes,
                ),
            )
        if start < end or stop < start:
            raise _broken(path, tr("is damaged: two tensors lie at byte {start:,} of its data", start=start))
        if start > end:
            raise _broken(path, tr("is damaged: no tensor lies at byte {end:,} of its data", end=end))
        end = stop
    if end < data_bytes:
        raise _broken(path, tr("is damaged: no tensor lies at byte {end:,} of its data", end=end))


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        return read_small_file(path, limit_bytes)
    except OSError as error:
        raise _broken(path, tr("cannot be read: {strerror}", strerror=error.strerror)) from error


def has_chat_template(folder: Path) -> bool | None:
    """Whether the tokenizer brings a chat template; None when the folder has no tokenizer files."""
    return chat_template(folder) is not None if _has_tokenizer(folder) else None


def chat_template(folder: Path) -> str | None:
    """The Jinja source of the default chat template, or None."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _read(file, TOKENIZER_CONFIG_BYTES).decode(errors="replace")
    for name in ("chat_template.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            continue
        template = read_json_object(folder / name, TOKENIZER_CONFIG_BYTES).get("chat_template")
        if isinstance(template, str):
            return template
        if isinstance(template, list):
            named = {str(one.get("name")): one.get("template") for one in template if isinstance(one, Mapping)}
            first = named.get("default") or next(iter(named.values()), None)
            return first if isinstance(first, str) else None
    return None


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json", "tokenizer.model"))


def _differences(spec: ModelSpec, tensors: dict[str, Tensor]) -> list[str]:
    """What the stored weights show that the config does not."""
    if _stored_quant(tensors) != "none" or spec.native_quant != "none":
        return []
    stored = sum(tensor.numel for tensor in tensors.values())
    if stored == spec.num_params or not spec.known:
        return [] if spec.known else [tr("the weight files hold {stored:,} elements", stored=stored)]
    head = spec.vocab_size * spec.hidden_size
    if spec.tie_word_embeddings and stored == spec.num_params + head:
        return []
    return [
        tr(
            "the weight files hold {stored:,} elements, the config describes {num_params:,} parameters",
            stored=stored,
            num_params=spec.num_params,
        )
    ]


def _stored_dtype(tensors: dict[str, Tensor]) -> str | None:
    """The dtype of most elements, where it is a training dtype."""
    sizes: dict[str, int] = {}
    for tensor in tensors.values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.numel
    most = max(sizes, key=lambda dtype: sizes[dtype], default="")
    return _DTYPE_NAMES.get(most)


def _stored_quant(tensors: dict[str, Tensor]) -> NativeQuant:
    """How the weights are quantised, from the tensors that each scheme leaves beside them."""
    endings: tuple[tuple[str, NativeQuant], ...] = (
        (".quant_state.bitsandbytes__nf4", "nf4"),
        (".quant_state.bitsandbytes__fp4", "int4"),
        (".SCB", "int8"),
        (".qweight", "int4"),
        ("_blocks", "mxfp4"),
        (".weight_scale_inv", "fp8"),
    )
    for ending, kind in endings:
        if any(name.endswith(ending) for name in tensors):
            return kind
    return "fp8" if any(tensor.dtype.startswith("F8") for tensor in tensors.values()) else "none"


def _broken(path: Path, how: str) -> InputError:
    fix = tr("Copy or download the file again, or choose the model by a catalogue name (--model Llama-3.1-8B).")
    return InputError(
        Problem(what=f"{path} {how}", why=tr("The model's shape is read from it."), fix=fix, where=str(path))
    )


def _no_config(folder: Path) -> InputError:
    gguf = sorted(folder.glob("*.gguf"))
    fix = tr("Give the folder that save_pretrained wrote, or a catalogue name such as Llama-3.1-8B.")
    why = tr("A model folder has to hold the model's config.json.")
    if gguf:
        fix = tr("It holds a GGUF file: use --model {gguf}", gguf=gguf[0])
    inside = sorted(folder.glob("*/config.json"))
    if inside and not gguf:
        fix = tr("There is one a level deeper: use --model {parent}", parent=inside[0].parent)
    return InputError(
        Problem(what=tr("{folder} has no config.json", folder=folder), why=why, fix=fix, where="--model")
    )
