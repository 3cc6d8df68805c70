"""Recipes of CONTRIBUTING.md for what a run does: places to touch, and what the suite says half-way."""

from __future__ import annotations

import pytest

from tests.recipes.conftest import Scratch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FIELD = """    embedding_noise: Annotated[Fraction, about("optimiser", quiet="off")] = 0.0
"""
SETS_FIELD = """id = "HYP-99"
title = "Noise for a handful of examples"
when = 'data.examples < 100'
effect = "set"
message = "Noise of {plan.embedding_noise} for {data.examples} examples."
because = "A handful is soon learnt by heart."
strength = "derived"
sources = ["arithmetic"]

[set]
embedding_noise = '0.1'

[[cases]]
name = "9 examples"
given = { "data.examples" = 9 }
expect = "fires"
sets = { "embedding_noise" = 0.1 }

[[cases]]
name = "900 examples"
given = { "data.examples" = 900 }
expect = "silent"

[[cases]]
name = "not known"
given = {}
expect = "unknown"
"""


def test_a_plan_field_is_the_field_who_carries_it_out_and_its_fact(scratch: Scratch) -> None:
    said = ("tests/trainers/test_plan_fields.py", "-k", "embedding_noise or setting")
    exported = ("tests/trainers/export/test_export.py", "-k", "its_row or own_reason")
    carried_out = ("tests/trainers/training/test_arguments.py", "-k", "every_plan_field")
    rule = "rules/book/hyperparameters/HYP-99-noise-for-a-handful-of-examples.toml"

    scratch.insert("trainers/plan.py", "    neftune_noise_alpha: Annotated", FIELD)
    scratch.complains(*said, about="embedding_noise: about(..., unit=")
    scratch.replace(
        "trainers/plan.py", 'Fraction, about("optimiser", quiet', 'Fraction, about("optimiser", unit="", quiet'
    )
    scratch.complains(*said, about="FACTS in rules/facts.py has no row plan.NAME for {'embedding_noise'}")
    scratch.complains(*exported, about="has no row for {'embedding_noise'}")
    scratch.replace(
        "trainers/plan.py",
        'about("optimiser", unit="", quiet="off")] = 0.0\n    neftune',
        'about("optimiser", unit="", quiet="off", export="no noise")] = 0.0\n    neftune',
    )
    scratch.suite(*exported)
    scratch.complains(*carried_out, about="nobody carries out {'embedding_noise'}")
    scratch.insert(
        "trainers/training/arguments.py", '    "loss_on": "rendering.py"', '    "embedding_noise": "models.py",\n'
    )
    scratch.suite(*carried_out)
    scratch.write(rule, SETS_FIELD)
    scratch.complains("tests/rules/test_load.py", about="embedding_noise")
    fact = '    _fact("plan.embedding_noise", "double", "noise on embeddings"),\n'
    scratch.insert("rules/facts.py", '    _fact("plan.neftune_noise_alpha"', fact)
    scratch.suite(*said)
    scratch.suite("tests/rules/test_book.py", "-k", "HYP-99")
    assert "--embedding-noise" in scratch.python("-m", "advisor", "train", "lora", "--help")
    assert len(scratch.touched) == 3 + len([rule])


METHOD = """\"\"\"(IA)3: keys, values and feed-forward inputs rescaled by learnt vectors (Liu et al. 2022).\"\"\"

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainers.methods import peft_shared
from trainers.methods.models import load_model
from trainers.plan import TrainingPlan

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

load = load_model
refusals = peft_shared.no_refusals
arguments = peft_shared.no_arguments
as_base = peft_shared.as_base
save = peft_shared.save


def trainable(model: PreTrainedModel, plan: TrainingPlan) -> PeftModel:
    \"\"\"The model with its vectors.\"\"\"
    from peft import IA3Config

    return peft_shared.wrap(model, IA3Config(task_type="CAUSAL_LM"), plan)


def attach(plan: TrainingPlan, folder: Path) -> PeftModel:
    \"\"\"The vectors on a freshly loaded base.\"\"\"
    return peft_shared.put_on(load_model(plan), folder, plan)


merge = peft_shared.merge
"""
METHOD_ROW = """    "ia3": MethodTraits(
        title="(IA)3",
        gist="a vector for keys, values and the feed-forward part",
        packages=(*_BASE, "peft"),
        dtypes=_FROZEN,
        on_request=True,
    ),
"""
METHOD_COUNT = """    "ia3": lambda spec, _: spec.num_hidden_layers * (2 * spec.head_dim * spec.num_key_value_heads
                                                     + spec.intermediate_size),
"""
METHOD_PAGE = """# (IA)3

Learnt vectors rescale keys, values and the feed-forward part.

## Steps

1. Train the vectors.

## For it

- Few parameters.

## Against it

- Little capacity.

## When to choose it

For many tasks with few examples each.
"""
METHOD_RATE = (
    SETS_FIELD[: SETS_FIELD.index("[[cases]]")]
    .replace("data.examples < 100", 'plan.method == "ia3"')
    .replace("Noise of {plan.embedding_noise} for {data.examples} examples", "{plan.lr_for_model} for (IA)3")
    .replace("Noise for a handful of examples", "Learning rate of (IA)3")
    .replace("embedding_noise = '0.1'", "lr_for_model = '0.008'")
    + """[[cases]]
name = "its method"
given = { "plan.method" = "ia3" }
expect = "fires"
sets = { "lr_for_model" = 0.008 }

[[cases]]
name = "another"
given = { "plan.method" = "lora" }
expect = "silent"

[[cases]]
name = "not known"
given = {}
expect = "unknown"
"""
)
ASK_FOR_IA3 = (
    *("-m", "advisor", "--model", "Qwen3-8B", "--hardware", "RTX 4090", "--data-examples", "500"),
    *("--data-completion-tokens", "200k", "--wish-method", "ia3", "--non-interactive"),
)


def test_a_method_is_four_files_its_pages_and_a_rule(scratch: Scratch) -> None:
    whole = ("tests/trainers/test_method.py",)
    rate = "rules/book/hyperparameters/HYP-99-learning-rate-of-ia-3.toml"
    scratch.replace("trainers/method.py", '"prefix", "adapter"]', '"prefix", "adapter", "ia3"]')
    scratch.complains(*whole, about="METHODS in trainers/method.py has no row for ia3")
    scratch.insert("trainers/method.py", '    "prefix": MethodTraits(', METHOD_ROW)
    scratch.complains(*whole, about="trainers/methods/ia3.py is missing")
    scratch.write("trainers/methods/ia3.py", METHOD)
    scratch.complains(*whole, about="TRAINED in advisor/model/params.py has no row for ia3")
    scratch.insert("advisor/model/params.py", '    "prefix": lambda', METHOD_COUNT)
    scratch.complains(*whole, about="rules/methods/ia3.md is missing")
    scratch.write("rules/methods/ia3.md", METHOD_PAGE)
    scratch.complains(*whole, about="rules/methods/zh_CN/ia3.md is missing")
    scratch.write("rules/methods/zh_CN/ia3.md", METHOD_PAGE)
    scratch.complains(*whole, about="METHODS in rules/facts.py and Method in trainers/method.py differ")
    scratch.replace("rules/facts.py", '"prefix", "adapter")', '"prefix", "adapter", "ia3")')
    scratch.complains(*whole, about="sets lr_for_model for ia3")
    scratch.write(rate, METHOD_RATE)
    scratch.suite(*whole)
    counted = ("tests/trainers/methods/test_backends.py", "-k", "ia3")
    scratch.suite(*counted)
    scratch.replace("advisor/model/params.py", "_: spec.num_hidden_layers * (2 *", "_: spec.num_hidden_layers * (3 *")
    scratch.complains(*counted, about="ia3: its row of TRAINED in advisor/model/params.py is wrong")
    scratch.replace("advisor/model/params.py", "_: spec.num_hidden_layers * (3 *", "_: spec.num_hidden_layers * (2 *")
    scratch.suite("tests/rules/test_explain.py", "tests/ask/test_questions.py", "-k", "method or choice")
    assert '"method":"ia3"' in scratch.python(*ASK_FOR_IA3).replace(" ", "")
    scratch.suite("tests/trainers/export/test_export.py", "-k", "ia3")
    pages = ["rules/methods/ia3.md", "rules/methods/zh_CN/ia3.md"]
    assert len(scratch.touched) == 4 + len([*pages, rate])
