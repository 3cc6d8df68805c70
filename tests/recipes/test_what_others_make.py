"""Recipes of CONTRIBUTING.md for models, tools and cards: places to touch, and what the suite says half-way."""

from __future__ import annotations

import pytest

from tests.recipes.conftest import Scratch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FAMILY = """@having(eager_gelu=True)
def acme(config: ConfigReader) -> Shape:
    \"\"\"Llama without biases, with its own activation.\"\"\"
    return no_bias(config)


"""
ACME = (
    "from advisor.model.families import spec_from_config as read; "
    "spec = read(dict(model_type='acme', hidden_size=64, num_hidden_layers=2, num_attention_heads=4, "
    "intermediate_size=128, vocab_size=100)); print(spec.known, spec.traits.eager_gelu)"
)


def test_a_model_family_is_one_function_and_its_row_in_the_same_file(scratch: Scratch) -> None:
    scratch.insert("advisor/model/families/dense.py", "DENSE: dict[str, Builder] = {", FAMILY)
    scratch.complains("tests/model/test_traits.py", "-k", "row", about="acme")
    scratch.insert("advisor/model/families/dense.py", '    "apertus": apertus,', '    "acme": acme,\n')
    scratch.suite("tests/model/test_traits.py")
    assert scratch.python("-c", ACME) == "True True\n"
    assert scratch.touched == ["advisor/model/families/dense.py"]


EXPORTER = """\"\"\"The plan as a job of Acme Cloud.\"\"\"

from __future__ import annotations

from typing import get_args

from trainers.export.cluster import plan_file
from trainers.export.table import Export, Target
from trainers.method import Method
from trainers.plan import TrainingPlan

TARGET = Target(title="Acme Cloud", trains_by_itself=False, methods=get_args(Method))


def export(plan: TrainingPlan) -> Export:
    \"\"\"The plan itself; Acme's command reads it.\"\"\"
    return Export(files=plan_file(plan), command="acme run plan.toml")
"""


def test_an_exporter_is_a_module_its_row_and_its_name_in_two_places_for_readers(scratch: Scratch) -> None:
    tests = ("tests/trainers/export/test_export.py", "-k", "registered or reader or same_tool or by_name")
    scratch.write("trainers/export/acme.py", EXPORTER)
    scratch.complains(*tests, about="TARGETS has a row for each exporter")
    scratch.insert("trainers/export/__init__.py", '    "slurm": "trainers', '    "acme": "trainers.export.acme",\n')
    scratch.complains(*tests, about="acme")
    scratch.insert("README.md", "SLURM, Kubernetes", "Acme Cloud, ")
    scratch.complains(*tests, about="advisor/commands/export.py does not name acme")
    scratch.insert("advisor/commands/export.py", "slurm, kubernetes", "acme, ")
    scratch.suite(*tests)
    assert len(scratch.touched) == 4


MAKER_ROW = """    "npu": AcceleratorTraits(
        vendor="acme",
        maker="Acme",
        brands=("acme",),
        in_sysfs=True,
        torch_device="npu",
        build="npu",
        build_begins="npu",
        four_bit=False,
    ),
"""
MAKER_PROBE = '''"""Acme's cards, from sysfs."""

from __future__ import annotations

from advisor.probe.hardware import Finding, Gpu
from advisor.probe.surroundings import Surroundings


def read(around: Surroundings) -> tuple[list[Gpu], list[Finding]]:
    """Each card with its memory in bytes, and what is worth saying."""
    sizes = sorted((around.root / "sys/class/acme").glob("card*/memory_bytes"))
    gpus = [
        Gpu(
            index=index,
            name="Acme One",
            state="ok",
            total_bytes=int(file.read_text()),
            free_bytes=int(file.read_text()),
            catalogue_name="Acme One",
        )
        for index, file in enumerate(sizes)
    ]
    return gpus, []
'''
MAKER_CARD = """[[gpu]]
name = "Acme One"
label = "Acme One"
family = "Acme One"
vendor = "acme"
memory_mib = 32768
memory_bandwidth_gbs = 800
bf16_dense_tflops = 200
fp16_dense_tflops = 200
architecture = "one"
year = 2026
memory_evidence = "spec"
source = "Acme's data sheet"

"""
MAKER_RULE = """id = "HW-99"
title = "Attention on Acme's cards"
when = 'plan.accelerator == "npu"'
effect = "warn"
message = "Attention is computed step by step on {plan.accelerator}."
because = "There is no fused kernel for it."
fix = "Shorten the sequences."
strength = "derived"
sources = ["arithmetic"]

[[cases]]
name = "its card"
given = { "plan.accelerator" = "npu" }
expect = "fires"

[[cases]]
name = "another"
given = { "plan.accelerator" = "cuda" }
expect = "silent"

[[cases]]
name = "not known"
given = {}
expect = "unknown"
"""
MAKER_TEST = """from pathlib import Path

from advisor.probe.acme import read
from advisor.probe.machine import probe


def test_a_card_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "sys/class/acme/card0"
    folder.mkdir(parents=True)
    (folder / "memory_bytes").write_text(str(32 << 30))
    found = probe(env={}, root=tmp_path)
    assert (found.accelerator, found.gpus[0].total_bytes >> 30) == ("npu", 32)
    assert read
"""


def test_a_gpu_maker_is_its_row_its_probe_its_cards_and_its_rule(scratch: Scratch) -> None:
    whole = ("tests/trainers/test_accelerators.py",)
    captured = "tests/probe/test_acme.py"
    rule = "rules/book/hardware/HW-99-attention-on-acme-s-cards.toml"
    registry = "trainers/accelerators.py"
    scratch.replace(registry, '"xpu", "mps", "cpu"]', '"xpu", "npu", "mps", "cpu"]')
    scratch.replace(registry, '"intel", "apple"]', '"intel", "acme", "apple"]')
    scratch.complains(*whole, about="ACCELERATORS in trainers/accelerators.py has no row for npu")
    scratch.insert(registry, '    "mps": AcceleratorTraits(', MAKER_ROW)
    scratch.complains(*whole, about="advisor/probe/acme.py is missing")
    scratch.write("advisor/probe/acme.py", MAKER_PROBE)
    scratch.complains(*whole, about="advisor/probe/gpus.toml has no card of acme")
    scratch.insert("advisor/probe/gpus.toml", '[[gpu]]\nname = "NVIDIA A100-SXM4-40GB"', MAKER_CARD)
    scratch.complains(*whole, about="ACCELERATORS in rules/facts.py lacks {'npu'}")
    scratch.replace("rules/facts.py", '"xpu", "mps", "cpu")', '"xpu", "npu", "mps", "cpu")')
    scratch.complains(*whole, about="the row of npu in ACCELERATORS does not say for what platform")
    scratch.replace(registry, 'maker="Acme",', 'maker="Acme",\n        platform="NPU",')
    scratch.complains(*whole, about="no rule of rules/book speaks of npu")
    scratch.write(rule, MAKER_RULE)
    scratch.complains(*whole, about="no test below tests/probe reads files of a machine by advisor/probe/acme.py")
    scratch.write(captured, MAKER_TEST)
    scratch.suite(*whole, captured)
    scratch.suite("tests/rules/test_book.py", "-k", "HW-99")
    scratch.suite("tests/probe/test_catalogue.py", "-k", "every_card")
    assert len(scratch.touched) == 5 + len([captured])


EXAMINER = """\"\"\"Greetings, as a module that nobody lists.\"\"\"

from advisor.data.content.examiner import Examiner
from advisor.data.content.habits import EXAMINERS as OTHERS

EXAMINERS: tuple[Examiner, ...] = (msgspec.structs.replace(OTHERS[0], code="greetings"),)
""".replace("from advisor.data.content.examiner", "import msgspec\n\nfrom advisor.data.content.examiner", 1)
READER = """def _read_sheet(row: Row) -> Example:
    return Example(text=str(row))


"""


def test_what_is_registered_halfway_is_named(scratch: Scratch) -> None:
    registries = ("tests/test_registries.py",)
    scratch.write("advisor/data/content/greetings.py", EXAMINER)
    scratch.complains(*registries, about="EXAMINERS in advisor/data/content/registry.py lacks greetings")
    (scratch.root / "advisor/data/content/greetings.py").unlink()
    scratch.insert("trainers/examples/layouts.py", "def layout_of(", READER)
    scratch.complains(*registries, about="LAYOUTS in trainers/examples/layouts.py has no entry for _read_sheet")
    scratch.replace("trainers/examples/layouts.py", READER, "")
    scratch.replace("rules/rule.py", '"set", "warn"]', '"set", "warn", "praise"]')
    scratch.complains(*registries, about="EFFECT_STYLE in advisor/report/rules.py lacks praise")
    scratch.complains(*registries, about="no rule of the book has the effect praise")
