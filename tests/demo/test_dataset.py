import itertools
import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.answers import Layer, parse
from advisor.demo.dataset import (
    KEYS,
    SLOT,
    SYSTEM,
    make_examples,
    pool,
    with_typo,
    wordings,
    write_demo_dataset,
)
from advisor.questions import BY_KEY

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


def test_every_form_answers_all_eight_questions_and_every_answer_is_asked_for():
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
    tables = {name: table for name, table in wordings().items() if name not in ("cards", "models", "engines")}
    for wording in lists(tables):
        known, held_back = (set().union(*map(spelled_out, pool(wording, part))) for part in ("train", "unseen"))
        assert known and held_back
        assert not (known & held_back) - {""}  # an empty opener or a mere full stop is no wording
    for name in ("cards", "models"):
        table = wordings()[name]
        assert not set(table["train"]) & set(table["held_back"])


def test_no_trained_form_names_a_model_or_card_that_is_kept_back():
    for key in ("hardware", "model"):

        def name(example, key=key):
            return example.form[key].split("x ")[-1]

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


@settings(max_examples=200)
@given(st.integers(0, 10_000))
def test_a_typing_mistake_keeps_the_letters_and_the_placeholders(seed):
    source = random.Random(seed)
    wording = source.choice(wordings()["talk"]["data"]["any"])
    wrong = with_typo(wording, source)
    assert sorted(wrong) == sorted(wording)
    assert re.findall(r"{\w+}", wrong) == re.findall(r"{\w+}", wording)


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


@pytest.mark.parametrize("part", ["train", "unseen"])
def test_every_card_and_model_is_one_that_the_advisor_knows(part):
    from advisor.model import resolve_model
    from advisor.probe.describe import hardware_from_text

    group = "train" if part == "train" else "held_back"
    for card in wordings()["cards"][group]:
        gpu = hardware_from_text(f"2x {card}").gpus[1]
        assert gpu.total_bytes and gpu.catalogue_name
    for model in wordings()["models"][group]:
        assert resolve_model(model.lower()).known
