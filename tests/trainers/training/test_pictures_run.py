"""Image and text SFT through the real trainer: colours are learnt, and the plain library sees them too."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.trainers import warm
from tests.trainers.families_that_see import COLOURS, FAMILIES, NEEDS, build, picture, write_colours
from trainers.merging.merge import merge_run
from trainers.plan import plan_from_dict, save_plan
from trainers.training.run import main

EYES = ("vision", "visual", "projector", "connector")
RUNS = (("gemma3", "full"), ("internvl", "lora"), ("qwen2_5_vl", "qlora"), ("qwen3_vl", "lora"))
"""One for each way of handing pictures on: whole, in tiles, by area, and to several layers."""
IN_SOAK = tuple(
    (family, "lora") for family in ("gemma4", "glm4v", "idefics3", "llava", "mistral3", "qwen3_5", "smolvlm")
)

MakePlan = Callable[..., dict[str, Any]]


def require(family: str) -> None:
    """Skip the test where a package is not installed that the family's processor asks for."""
    if family in NEEDS:
        pytest.importorskip(NEEDS[family])


def weights(folder: Path) -> dict[str, Any]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def carried_out(plan: dict[str, Any], folder: Path) -> tuple[int, dict[str, Any]]:
    save_plan(plan_from_dict(plan), folder / "plan.toml")
    code = main([str(folder / "plan.toml"), "--run-dir", str(folder / "run")])
    return code, json.loads((folder / "run" / "run.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(("family", "method"), RUNS + IN_SOAK if os.environ.get("SOAK") else RUNS)
def test_a_colour_is_learnt_from_pictures_and_the_plain_library_sees_it(
    family: str, method: str, tmp_path: Path, tiny_model: Path, make_plan: MakePlan
) -> None:
    require(family)
    base, data = build(family, tiny_model, tmp_path / "base"), write_colours(tmp_path / "data")
    steps = dict.fromkeys(("max_steps", "save_steps", "eval_steps"), 80 if method == "qlora" else 60)
    plan = make_plan(
        method,
        model={"name": str(base)},
        dataset={"source": str(data), "eval_fraction": 0.1},
        reads_images=True,
        micro_batch_size=8,
        learning_rate={"full": 2e-3, "qlora": 5e-3}.get(method, 1e-2),
        gradient_checkpointing=family != "llava",
        **({} if method == "full" else {"lora_rank": 16, "lora_alpha": 32}),
        **steps,
    )
    code, record = carried_out(plan, tmp_path)
    assert code == 0
    scored = record["evaluation"]["tuned"]
    assert scored["exact"] == scored["exact_of"] > 0, "the answers to pictures that were kept back"
    result = tmp_path / "run" / "result"
    whole = result if method == "full" else merge_run(tmp_path / "run").folder
    before, after = weights(base), weights(whole)
    eyes = [name for name in before if any(word in name for word in EYES)]
    assert before.keys() == after.keys()
    assert eyes
    assert all(before[name].equal(after[name].to(before[name].dtype)) for name in eyes), "the tower stays as it was"
    if method != "full":
        adapters = load_file(result / "adapter_model.safetensors")
        assert not [name for name in adapters if any(word in name for word in EYES)]
    shown = [tmp_path / f"{colour}.png" for colour in COLOURS]
    for path, colour in zip(shown, COLOURS, strict=True):
        picture(colour, 5).save(path)
    looked = warm.run("tests.trainers.pictures_read_plainly", str(whole), *map(str, shown))
    assert looked.returncode == 0, looked.stderr
    assert json.loads(looked.stdout.splitlines()[-1]) == list(COLOURS)


def prepared(
    family: str, rows: list[dict[str, Any]], folder: Path, tiny: Path, make_plan: MakePlan, **fields: Any
) -> Any:
    """The tokenised rows, as the trainer reads them, with the plan's own tokenizer."""
    from trainers.methods.models import load_tokenizer
    from trainers.training.dataset import prepare
    from trainers.training.rendering import prepare_tokenizer

    base = build(family, tiny, folder / "base")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    dataset = {"source": str(folder / "rows.jsonl"), "eval_fraction": 0.0}
    plan = plan_from_dict(make_plan(model={"name": str(base)}, dataset=dataset, reads_images=True, **fields))
    tokenizer = load_tokenizer(plan)
    prepare_tokenizer(tokenizer)
    return tokenizer, prepare(plan, tokenizer, folder / "run")


def asked(name: str, answer: str = "red", question: str = "<image>\nWhat colour?") -> dict[str, Any]:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"image": name, "conversations": turns}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_picture_becomes_the_tokens_of_its_family_and_only_the_answer_is_learnt(
    family: str, tmp_path: Path, tiny_model: Path, make_plan: MakePlan
) -> None:
    import torch

    from trainers.training.rendering import IGNORED
    from trainers.training.sight import Collator

    require(family)
    picture("red", size=(60, 40)).save(tmp_path / "a.png")
    held = "data:image/png;base64," + base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    words = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "oh"}]}
    rows = [asked("a.png"), asked(held, "blue"), words]
    tokenizer, data = prepared(family, rows, tmp_path, tiny_model, make_plan)
    assert data.report.broken == 0, data.report.broken_rows
    kinds = [data.sight.token_kinds(row["input_ids"]) for row in data.train]
    assert sum(kinds[0]) == sum(kinds[1]) > 0 == sum(kinds[2])
    for row, kind in zip(data.train, kinds, strict=True):
        learnt = [one for one, label in zip(kind, row["labels"], strict=True) if label != IGNORED]
        assert learnt
        assert not any(learnt), "no token of a picture is learnt"
    assert tokenizer.decode([one for one in data.train[0]["labels"] if one != IGNORED]) == "red<|im_end|>"
    batch = Collator(data.sight, tokenizer.pad_token_id, IGNORED)(list(data.train))
    from tests.trainers.plans import full_plan
    from trainers.methods import full

    base = full_plan(
        model={"name": str(tmp_path / "base")}, weights_dtype="fp32", compute_dtype="fp32", reads_images=True
    )
    model = full.trainable(full.load(base), base)
    loss = model(**batch).loss
    loss.backward()
    assert torch.isfinite(loss)
    moved = [name for name, one in model.named_parameters() if one.grad is not None]
    assert moved
    assert not [name for name in moved if any(word in name for word in EYES)]


def test_a_picture_that_is_missing_broken_or_would_be_cut_leaves_its_row_out(
    tmp_path: Path, tiny_model: Path, make_plan: MakePlan
) -> None:
    picture("red").save(tmp_path / "a.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    rows = [asked("a.png"), asked("b.png"), asked("half.png"), asked("a.png", question="<image><image> Which?")]
    long = asked("a.png", question="word " * 200 + "<image>")
    _, data = prepared("llava", [*rows, long], tmp_path, tiny_model, make_plan)
    told = "; ".join(data.report.broken_rows)
    assert data.report.train_examples == 1
    assert data.report.broken == 4
    for words in ("b.png", "cannot be read", "half.png", "speaks of 2 pictures", "would cut them"):
        assert words in told


def test_a_run_on_pictures_is_refused_for_a_model_without_eyes(
    tmp_path: Path, make_plan: MakePlan, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_colours(tmp_path / "data", rows=3)
    code, record = carried_out(make_plan(dataset={"source": str(data)}, reads_images=True), tmp_path)
    assert code == 2
    assert "not trained on pictures here" in record["failure"]["what"]


def test_a_limit_on_pixels_makes_fewer_tokens(tmp_path: Path, tiny_model: Path, make_plan: MakePlan) -> None:
    picture("red", size=(300, 200)).save(tmp_path / "a.png")

    def tokens(folder: str, **fields: Any) -> int:
        (tmp_path / folder).mkdir()
        row = asked(str(tmp_path / "a.png"))
        _, data = prepared("qwen2_5_vl", [row], tmp_path / folder, tiny_model, make_plan, **fields)
        return sum(data.sight.token_kinds(data.train[0]["input_ids"]))

    assert tokens("free") == 12  # 12 544 pixels at most: 4 x 3 tokens of 28 x 28
    assert tokens("bound", max_pixels=56 * 56) == 2
