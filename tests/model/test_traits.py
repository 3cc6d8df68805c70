"""A family states its traits once, beside its shape; whoever builds on the family gets them too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import advisor
from advisor.estimate import estimate_memory
from advisor.model.families import TABLES, built_families, dense, spec_from_config
from advisor.model.families.traits import derived_traits, having
from tests.estimate.shapes import plan
from tests.model import family_traits
from tests.model.meta import spec_of

ROOT = Path(advisor.__file__).parent
PHI = {"hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 10240}
STYLES = {"mixtral", "qwen2_moe"}
"""What peft calls the two ways in which experts were named."""
MODULES = {"mamba"}
"""Names of a family that its module has too."""


def test_a_new_family_by_a_known_builder_is_estimated_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dense.DENSE, "acme", dense.stablelm)
    config = PHI | {"vocab_size": 51200, "max_position_embeddings": 2048, "tie_word_embeddings": False}
    for checkpointing in (True, False):
        wanted = plan("lora", gradient_checkpointing=checkpointing)
        known, acme = (spec_from_config({"model_type": name, **config}) for name in ("stablelm", "acme"))
        assert estimate_memory(acme, wanted).device == estimate_memory(known, wanted).device


def test_traits_of_a_row_are_added_to_those_of_its_builder() -> None:
    glm4 = spec_of("glm4", {})
    assert glm4.traits.partly_rotated and glm4.traits.liger_layers
    assert spec_of("glm", {}).traits.partly_rotated and not spec_of("glm", {}).traits.liger_layers


def test_a_trait_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="eager_gleu"):
        having(eager_gleu=True)(dense.llama)(_reader())


def _reader():
    from advisor.model.config import ConfigReader

    return ConfigReader(PHI | {"vocab_size": 8}, "llama")


@pytest.mark.parametrize("model_type", family_traits.families())
def test_traits_are_those_of_the_installed_modules(model_type: str) -> None:
    """What a norm or an activation keeps is gigabytes; which families do so is read off transformers."""
    derived = {name: value for name, value in derived_traits(model_type).items() if name != "liger_layers"}
    assert derived == family_traits.read_traits(model_type), "run: python -m tests.model.family_traits"


def test_no_family_is_named_outside_its_table() -> None:
    """Everyone else reads traits; only the map of GGUF architectures names families."""
    names = "|".join(re.escape(name) for name in sorted(built_families() - STYLES - MODULES))
    quoted = re.compile(rf"""["']({names})["']""")
    allowed = {f"model/families/{module}.py" for module in TABLES} | {
        "model/families/__init__.py",
        "model/gguf.py",
    }
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {match[1]}"
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).as_posix() not in allowed
        for match in quoted.finditer(path.read_text())
    }
    assert found == set()


def test_every_builder_has_a_row_or_serves_another() -> None:
    sources = {path.stem: path.read_text() for path in (ROOT / "model" / "families").glob("*.py")}
    builders = re.findall(r"^def ([a-z]\w*)\(config: ConfigReader\) -> Shape:", "\n".join(sources.values()), re.M)
    whole = "\n".join(sources.values())
    idle = [name for name in builders if len(re.findall(rf"(?<!def )(?<![\"'.\w]){name}\b(?![\"'])", whole)) == 0]
    assert idle == [], "give each a row in the table of its file"
