import itertools
import json
import re

from advisor.ask.answers import Layer, parse
from advisor.ask.questions import BY_KEY
from advisor.commands.demo.dataset import (
    KEYS,
    SLOT,
    SYSTEM,
    make_examples,
    pool,
    wordings,
    write_demo_dataset,
)

TRAIN = make_examples(400, "train", 7)
UNSEEN = make_examples(200, "unseen", 7)


def test_the_same_seed_gives_the_same_requests_and_another_seed_others():
    assert make_examples(50, "train", 7) == TRAIN[:50]
    assert make_examples(50, "train", 8) != TRAIN[:50]


def test_every_form_is_one_that_the_question_table_accepts():
    for example in TRAIN + UNSEEN:
        answers, problems = parse(Layer("file", example.form))
        assert not problems, (example, problems)
        assert answers.values == example.form


def test_every_form_answers_all_five_questions_and_every_answer_is_asked_for():
    assert set(KEYS) <= set(BY_KEY)
    for key in KEYS:
        values = {example.form[key] for example in TRAIN}
        assert len(values) > 1
        choices = BY_KEY[key].choices
        if key != "data.kind" and choices:
            assert values <= set(choices)


def lists(table):
    for value in table.values():
        if isinstance(value, dict):
            yield from lists(value)
        else:
            yield value


def spelled_out(wording):
    """Every text that one wording with its alternatives stands for."""
    parts = SLOT.split(wording)
    choices = [part.split("|") if place % 2 else [part] for place, part in enumerate(parts)]
    return {" ".join("".join(chosen).split()).strip(" .") for chosen in itertools.product(*choices)}


def test_wordings_models_and_cards_of_the_evaluation_are_never_trained_on():
    tables = {name: table for name, table in wordings().items() if name not in ("cards", "models")}
    for wording in lists(tables):
        known, held_back = (set().union(*map(spelled_out, pool(wording, part))) for part in ("train", "unseen"))
        assert known and held_back
        assert not (known & held_back) - {""}  # an empty opener or a mere full stop is no wording
    for name in ("cards", "models"):
        table = wordings()[name]
        assert not set().union(*map(spelled_out, table["train"])) & set(table["held_back"])


def test_no_trained_form_names_a_model_or_card_that_is_kept_back():
    for key in ("hardware", "model"):

        def name(example, key=key):
            return example.form[key].split("x ")[-1].lower().replace("-", " ")

        assert not {name(example) for example in TRAIN} & {name(example) for example in UNSEEN}


def test_the_text_gives_away_every_name_and_number_of_its_form():
    for example in TRAIN + UNSEEN:
        spoken = example.request.lower().replace("-", " ")
        assert example.form["model"].replace("-", " ") in spoken
        assert example.form["hardware"].split("x ")[1].lower().replace("-", " ") in spoken
        number = example.form["data.examples"]
        forms = [str(number), f"{number:,}", f"{number // 1000}k", "thousand"]
        assert any(form in example.request for form in forms)


def test_numbers_are_written_in_all_four_ways():
    text = "\n".join(example.request for example in TRAIN)
    assert all(re.search(pattern, text) for pattern in (r"\d,\d{3}", r"\d{4}", r"\dk\b", r"[a-z]+ thousand"))


def test_files_hold_messages_and_the_parts_do_not_overlap(tmp_path):
    paths = write_demo_dataset(tmp_path / "new", train=60, eval_seen=20, eval_unseen=20)
    rows = {
        name: [json.loads(line) for line in getattr(paths, name).read_text().splitlines()]
        for name in ("train", "eval_seen", "eval_unseen")
    }
    assert {name: len(found) for name, found in rows.items()} == {"train": 60, "eval_seen": 20, "eval_unseen": 20}
    requests = [row["messages"][1]["content"] for found in rows.values() for row in found]
    assert len(set(requests)) == len(requests)
    for row in rows["train"]:
        assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
        assert row["messages"][0]["content"] == SYSTEM
        assert list(json.loads(row["messages"][2]["content"])) == list(KEYS)


def test_every_form_of_the_evaluation_names_a_card_and_a_model_that_the_advisor_knows():
    from advisor.model import resolve_model
    from advisor.probe.describe import hardware_from_text

    for hardware, model in {(example.form["hardware"], example.form["model"]) for example in UNSEEN}:
        gpu = hardware_from_text(hardware).gpus[0]
        assert gpu.total_bytes and gpu.catalogue_name
        assert resolve_model(model).known
