"""Judge exported configurations by the peers' own validators: `python -m tests.soak.validate_peers`, in their venv.

Needs axolotl 0.21, ms-swift 4.6, llamafactory 0.9.5, unsloth 2026.10 and torchtune 0.6.1 (installed with --no-deps
beside our own stack, for none of them admits its versions); a tool that is not installed is skipped. Prints one
line an export and ends with 1 when one is refused. About a minute.
"""

import importlib.util
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SETTINGS = {
    "AXOLOTL_DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "DISABLE_VERSION_CHECK": "1",
    "USE_HF": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
"""What the tools read when they are imported."""


def axolotl(config: dict[str, Any], _model: str) -> None:
    from axolotl.utils.schemas.config import AxolotlConfigWCapabilities

    capabilities = {"bf16": True, "fp8": False, "n_gpu": 4, "compute_capability": "sm_90", "n_node": 1}
    AxolotlConfigWCapabilities(**config, capabilities=capabilities, env_capabilities={"torch_version": "2.13.0"})


def llamafactory(config: dict[str, Any], model: str) -> None:
    from llamafactory.hparams import get_train_args

    # without a GPU only a copy with use_cpu lets bf16 pass, and pure_bf16 never; DeepSpeed and Liger are not here
    config = {**config, "model_name_or_path": model, "use_cpu": True}
    for name in ("deepspeed", "model_revision", "pure_bf16", "enable_liger_kernel"):
        config.pop(name, None)
    get_train_args(config)


def ms_swift(config: dict[str, Any], model: str) -> None:
    from swift import SftArguments
    from swift.utils import parse_args

    config = {**config, "model": model, "model_type": "llama", "template": "llama3", "torch_dtype": "float32"}
    for name in ("deepspeed", "fsdp", "model_revision", "bf16", "fp16", "use_liger_kernel"):
        config.pop(name, None)
    words: list[str] = []
    for key, value in config.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{key}", *(json.dumps(v) if isinstance(v, dict) else str(v) for v in values)]
    _, rest = parse_args(SftArguments, words)
    if rest:
        raise ValueError(f"unknown arguments {rest}")


def unsloth(config: dict[str, Any], _model: str) -> None:
    # the module alone: its package looks for a GPU when it is imported
    package = importlib.util.find_spec("unsloth_cli")
    assert package is not None and package.submodule_search_locations
    spec = importlib.util.spec_from_file_location(
        "unsloth_config", Path(package.submodule_search_locations[0]) / "config.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.Config(**{key: value for key, value in config.items() if key != "output_dir"})


def torchtune(config: dict[str, Any], _model: str) -> None:
    from omegaconf import OmegaConf
    from torchtune.config import validate

    validate(OmegaConf.create(config))


class Validator(NamedTuple):
    """How a tool judges a configuration."""

    package: str
    """What has to be installed."""
    judge: Callable[[dict[str, Any], str], None]


VALIDATORS = {
    "axolotl": Validator("axolotl", axolotl),
    "llamafactory": Validator("llamafactory", llamafactory),
    "ms-swift": Validator("swift", ms_swift),
    "unsloth": Validator("unsloth_cli", unsloth),
    "torchtune": Validator("torchtune", torchtune),
}


def installed() -> list[str]:
    """The tools that can be asked here; of the others it is said that they are left out."""
    found = [tool for tool, each in VALIDATORS.items() if importlib.util.find_spec(each.package) is not None]
    for tool in sorted(VALIDATORS.keys() - set(found)):
        print(f"skipped  {tool:13} is not installed here")
    return found


def main() -> int:
    """0 when every installed tool takes every export that is meant for it, 1 otherwise."""
    os.environ.update(SETTINGS)
    if not (tools := installed()):
        return 0
    import yaml

    from tests.trainers.conftest import build_tiny_model
    from tests.trainers.export.test_export import TOOLS, plans
    from trainers.export import export

    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        build_tiny_model(Path(folder) / "model")
        os.chdir(folder)
        for tool in tools:
            for name, plan in plans().items():
                config = yaml.safe_load(export(plan, tool).files[TOOLS[tool].CONFIG])
                try:
                    VALIDATORS[tool].judge({**config, "output_dir": folder}, f"{folder}/model")
                    print(f"ok       {tool:13} {name}")
                except Exception:  # noqa: BLE001  whatever a validator raises is its verdict
                    refused += 1
                    last = traceback.format_exc().strip().splitlines()
                    print(f"refused  {tool:13} {name}: " + " | ".join(last[-3:])[:600])
    return bool(refused)


if __name__ == "__main__":
    sys.exit(main())
