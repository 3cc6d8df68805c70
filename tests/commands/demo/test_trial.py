import io
import json

import pytest

from advisor.commands.cli import main
from advisor.commands.demo.dataset import form_text, make_examples
from advisor.commands.demo.trial import ROWS_OF_A_STEP, plan_changes, read_outcome, save_outcome
from tests.commands.calling import warmly
from trainers.plan import TrainingPlan, load_plan


def run_folder(folder, pairs):
    """A run folder as an evaluated run leaves it, with (request, reference, base, tuned) for each sample."""
    samples = [
        {"prompt": prompt, "reference": reference, "base": base, "tuned": tuned}
        for prompt, reference, base, tuned in pairs
    ]
    (folder / "samples.json").write_text(json.dumps({"samples": samples}))
    record = {
        "eval_loss_before": 3.0,
        "eval_loss_after": 0.01,
        "seconds": {"training": 120.5},
        "memory": {"predicted_peak_bytes": 3 << 30, "measured_peak_bytes": 2 << 30},
    }
    (folder / "run.json").write_text(json.dumps(record))


def test_each_change_has_a_reason_and_names_a_field_that_a_plan_has():
    fields = {*TrainingPlan.__struct_fields__, "global_batch_size"}
    changes = plan_changes(50)
    assert {change.field for change in changes} <= fields
    assert all(change.why for change in changes)


def test_the_outcome_is_what_the_run_folder_holds(tmp_path):
    first, second = make_examples(2, "unseen", 3)
    run_folder(
        tmp_path,
        [
            (first.request, form_text(first.form), "I am glad to help.", form_text(first.form)),
            (second.request, form_text(second.form), "", form_text(first.form)),
        ],
    )
    found = read_outcome(tmp_path)
    assert (found.base.exact, found.base.readable, found.base.of) == (0, 0, 2)
    assert (found.tuned.exact, found.tuned.readable) == (1, 2)
    assert (found.base_loss, found.tuned_loss, found.training_seconds) == (3.0, 0.01, 120.5)
    saved = json.loads(save_outcome(found, tmp_path).read_text())
    assert saved["tuned"]["exact"] == 1 and saved["samples"][0]["request"] == first.request


@pytest.mark.parametrize("width", [80, 140])
def test_the_screen_shows_both_models_and_what_went_wrong_at_any_width(tmp_path, width):
    from rich.console import Console

    from advisor.commands.demo import screen

    first, second = make_examples(2, "unseen", 3)
    run_folder(
        tmp_path,
        [
            (first.request, form_text(first.form), "I am glad [to] help.", form_text(first.form)),
            (second.request, form_text(second.form), "", form_text(first.form)),
        ],
    )
    console = Console(width=width, record=True, markup=False, highlight=False, file=io.StringIO())
    console.print(screen.outcome(read_outcome(tmp_path)))
    lines = console.export_text().splitlines()
    text = " ".join(" ".join(line.split()) for line in lines)
    assert max(map(len, lines)) <= width
    assert "0 of 2 1 of 2" in text
    assert "I am glad [to] help." in text
    assert "wanted" in text


@pytest.mark.parametrize("flag", ["--steps", "--questions"])
def test_a_count_below_one_is_refused_before_anything_is_written(tmp_path, flag, capsys):
    assert main(["try", "--output", str(tmp_path / "new"), flag, "0"]) == 2
    assert flag in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_with_a_trial_in_it_is_refused(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert main(["try", "--output", str(tmp_path)]) == 2
    assert "holds a trial already" in capsys.readouterr().err


@pytest.mark.slow
def test_two_steps_go_all_the_way_from_probe_to_comparison(tmp_path, embedded_model):
    folder = tmp_path / "trial"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "models").symlink_to(embedded_model.home / "models")
    done = warmly(tmp_path, "try", "--output", str(folder), "--steps", "2", "--questions", "2")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    plan = load_plan(folder / "run" / "plan.toml")
    assert (plan.method, plan.max_steps, plan.global_batch_size, plan.lora_rank) == ("lora", 2, ROWS_OF_A_STEP, 16)
    assert plan.set_by["max_steps"] == "user" and plan.set_by["lora_rank"].startswith("HYP-")
    for change in plan_changes(2):
        assert getattr(plan, change.field) == change.value
    outcome = read_outcome(folder / "run")
    assert outcome.tuned_loss < outcome.base_loss
    assert json.loads((folder / "try.json").read_text())["tuned"]["of"] == 2
    assert (folder / "run" / "result" / "adapter_model.safetensors").exists()
    assert "forms right in every field" in done.stdout
