from pathlib import Path

import pytest

from tests.trainers.plans import lora_plan
from trainers.errors import PlanRefused
from trainers.plan import TrainingPlan
from trainers.plan_fields import fields_about
from trainers.run_folder.fingerprint import hold_to_start, plan_fingerprint


@pytest.mark.parametrize("field", fields_about(TrainingPlan))
def test_what_is_learnt_is_held_and_nothing_else(field: str) -> None:
    held = {name.partition(".")[0] for name in plan_fingerprint(full_of_values())}
    assert (field in held) == (fields_about(TrainingPlan)[field].resume == "kept")


def full_of_values() -> TrainingPlan:
    """A plan in which nothing is None, for what is not set is not written."""
    return lora_plan(
        lora_dropout=0.1, loraplus_lr_ratio=2.0, num_virtual_tokens=4, adapter_bottleneck=4, neftune_noise_alpha=1.0,
        max_steps=9, predicted_peak_bytes=1, start_adapter="some-adapter", lora_expert_rank=4,
        reads_images=True, max_pixels=1_000, packing=False,
    )  # fmt: skip


def test_the_same_plan_is_held_to_itself_even_with_another_batch_shape(tmp_path: Path) -> None:
    hold_to_start(lora_plan(micro_batch_size=4, gradient_accumulation_steps=2), tmp_path)
    hold_to_start(
        lora_plan(micro_batch_size=1, gradient_accumulation_steps=8, gradient_checkpointing=False), tmp_path
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 1e-3}, "learning_rate: 0.0002 -> 0.001"),
        ({"lora_rank": 4}, "lora_rank: 8 -> 4"),
        ({"micro_batch_size": 3}, "global_batch_size: 1 -> 3"),
        ({"max_steps": 7}, "max_steps: not set -> 7"),
        ({"model": {"name": "other"}}, "model.name: some-model -> other"),
        ({"dataset": {"source": "org/other"}}, "dataset.content: org/data -> org/other"),
    ],
)
def test_what_changed_is_named(tmp_path: Path, change: dict[str, object], named: str) -> None:
    hold_to_start(lora_plan(), tmp_path)
    with pytest.raises(PlanRefused) as refused:
        hold_to_start(lora_plan(**change), tmp_path)
    assert named in refused.value.what
    assert "--run-dir" in refused.value.fix


def test_a_dataset_is_its_bytes_wherever_it_lies(tmp_path: Path) -> None:
    first, moved = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text('{"text": "x"}\n')
    moved.write_text('{"text": "x"}\n')
    before = plan_fingerprint(lora_plan(dataset={"source": str(first)}))
    assert plan_fingerprint(lora_plan(dataset={"source": str(moved)})) == before
    moved.write_text('{"text": "y"}\n')
    assert plan_fingerprint(lora_plan(dataset={"source": str(moved)})) != before


def test_a_folder_is_the_bytes_of_its_files_and_not_what_datasets_caches_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "data-00000-of-00001.arrow").write_bytes(b"rows")
    plan = lora_plan(dataset={"source": str(folder)})
    hold_to_start(plan, tmp_path / "run")
    (folder / "cache-1234.arrow").write_bytes(b"sorted rows")
    hold_to_start(plan, tmp_path / "run")
    (folder / "data-00000-of-00001.arrow").write_bytes(b"wors")
    with pytest.raises(PlanRefused, match="saved has another content"):
        hold_to_start(plan, tmp_path / "run")


def test_a_damaged_record_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.json").write_text("{half")
    with pytest.raises(PlanRefused, match=r"fingerprint.json cannot be read"):
        hold_to_start(lora_plan(), tmp_path)
