"""The demo dataset: requests in plain words with the filled-in form, made by a small grammar from wordings.toml.

A request answers five questions of the question table in any order; the form is one JSON object with the same dotted
keys that flags, answers files and rules use. Whole wordings, models and cards are kept back, so that `eval_unseen`
holds nothing but what training never showed.

    paths = write_demo_dataset(Path("demo"))      # train.jsonl, eval_seen.jsonl, eval_unseen.jsonl
"""

from __future__ import annotations

import json
import random
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from trainers.writing import write_atomically

Part = Literal["train", "unseen"]
Register = Literal["note", "talk"]

SYSTEM = "Fill in the fine-tuning form."
KEYS = (
    "hardware",
    "model",
    "data.examples",
    "data.kind",
    "task.switch_per_request",
)
"""The fields of the form, in the order in which they are written."""

HELD_BACK_EVERY = 4
HELD_BACK_OFFSET = 3
OTHER_NUMBERS_RATE = 0.5
SHUFFLE_RATE = 0.5
"""How often the clauses stand in another order than that of the form."""

SLOT = re.compile(r"\[([^\]]*)\]")
"""Alternatives inside a wording: [a|b|c]."""

_NUMBER_WORDS = {2: "two", 4: "four", 8: "eight"}
_THOUSANDS = {1: "one", 2: "two", 3: "three", 5: "five", 8: "eight", 10: "ten", 20: "twenty", 40: "forty"}


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One request in plain words and the answers it gives, keyed by dotted path."""

    request: str
    form: dict[str, Any]


class DemoPaths(msgspec.Struct, frozen=True, kw_only=True):
    """The three files of the demo dataset, JSONL in `messages` format."""

    train: Path
    eval_seen: Path
    """New combinations of wordings, models and cards that training shows."""
    eval_unseen: Path
    """Every wording, model and card is one that training never shows."""


@cache
def wordings() -> dict[str, Any]:
    """The tables of wordings.toml."""
    return tomllib.loads((Path(__file__).parent / "wordings.toml").read_text(encoding="utf-8"))


def pool(items: list[str], part: Part) -> list[str]:
    """The wordings of one list that belong to `part`: every fourth one is kept back for the evaluation."""
    unseen = part == "unseen"
    return [item for place, item in enumerate(items) if (place % HELD_BACK_EVERY == HELD_BACK_OFFSET) is unseen]


def make_examples(count: int, part: Part, seed: int) -> list[Example]:
    """`count` different requests with their forms; the same seed gives the same list."""
    random_source = random.Random(f"{part}-{seed}")
    examples: dict[str, Example] = {}
    while len(examples) < count:
        example = _make_example(random_source, part)
        examples.setdefault(example.request, example)
    return list(examples.values())


def to_messages(example: Example) -> dict[str, list[dict[str, str]]]:
    """One row in `messages` format."""
    turns = (("system", SYSTEM), ("user", example.request), ("assistant", form_text(example.form)))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def form_text(form: dict[str, Any]) -> str:
    """The form as the model is to write it: one line of JSON, keys in the order of KEYS."""
    return json.dumps({key: form[key] for key in KEYS}, separators=(",", ":"))


def write_demo_dataset(
    folder: Path, train: int = 480, eval_seen: int = 40, eval_unseen: int = 60, seed: int = 7
) -> DemoPaths:
    """Write the three files; deterministic by `seed`. No request of eval_seen occurs in train."""
    known = make_examples(train + eval_seen, "train", seed)
    parts = {
        "train": known[:train],
        "eval_seen": known[train:],
        "eval_unseen": make_examples(eval_unseen, "unseen", seed),
    }
    for name, examples in parts.items():
        lines = (json.dumps(to_messages(example), ensure_ascii=False) for example in examples)
        write_atomically(folder / f"{name}.jsonl", ("\n".join(lines) + "\n").encode())
    return DemoPaths(**{name: folder / f"{name}.jsonl" for name in parts})


def _make_example(random_source: random.Random, part: Part) -> Example:
    register: Register = random_source.choice(("note", "talk"))
    say = _Speaker(random_source, part, register)
    clauses = [make(say) for make in (_hardware, _model, _data, _task)]
    if random_source.random() < SHUFFLE_RATE:
        random_source.shuffle(clauses)
    frame = wordings()["frames"][register]
    joiner, opener, closer = (say.choose(frame[name]) for name in ("joiners", "openers", "closers"))
    request = opener + joiner.join(text for text, _ in clauses) + closer
    form: dict[str, Any] = {}
    for _, answers in clauses:
        form |= answers
    return Example(request=request, form={key: form[key] for key in KEYS})


class _Speaker:
    """Picks wordings of one part and register."""

    def __init__(self, random_source: random.Random, part: Part, register: Register) -> None:
        self.random, self.part, self.register = random_source, part, register

    def choose(self, items: list[str]) -> str:
        """A wording of this part, each [a|b] of it decided."""
        wording = self.random.choice(pool(items, self.part))
        return SLOT.sub(lambda slot: self.random.choice(slot[1].split("|")), wording)

    def clause(self, topic: str, variant: str = "any", /, **values: str) -> str:
        """A clause on `topic` with its values filled in."""
        return self.choose(wordings()[self.register][topic][variant]).format(**values)

    def name(self, table: str) -> str:
        """A model or card of this part; half of those of the training with other numbers, so that they are copied."""
        names: dict[str, list[str]] = wordings()[table]
        if self.part == "unseen":
            return self.random.choice(names["held_back"])
        while True:
            name = self.random.choice(names["train"])
            if self.random.random() < OTHER_NUMBERS_RATE:
                name = re.sub(r"\d", lambda _: str(self.random.randint(1, 9)), name)
            if name not in names["held_back"]:
                return name


def _hardware(say: _Speaker) -> tuple[str, dict[str, Any]]:
    number = say.random.choice((1, 1, 1, 2, 2, 4, 8))
    card = say.name("cards")
    if number == 1:
        phrase = say.random.choice(("one {card}", "a single {card}", "1x {card}", "1 {card}")).format(card=card)
    else:
        forms = ["{word} {card}s", "{number}x {card}", "{number} x {card}", "{number} {card}s"]
        forms += ["a pair of {card}s", "dual {card}s"] if number == 2 else []
        phrase = say.random.choice(forms).format(card=card, number=number, word=_NUMBER_WORDS[number])
    return say.clause("hardware", hw=phrase), {"hardware": f"{number}x {card}"}


def _model(say: _Speaker) -> tuple[str, dict[str, Any]]:
    name = say.name("models")
    spoken = say.random.choice((name, name, name.lower(), name.replace("-", " "), name.lower().replace("-", " ")))
    return say.clause("model", model=spoken), {"model": name.lower()}


def _data(say: _Speaker) -> tuple[str, dict[str, Any]]:
    kind = say.random.choice(("chat", "instruct", "classification", "code", "math"))
    number, phrase = _examples(say.random)
    noun = say.choose(wordings()["nouns"][kind])
    return say.clause("data", n=phrase, noun=noun), {"data.examples": number, "data.kind": kind}


def _examples(random_source: random.Random) -> tuple[int, str]:
    """A number of examples and one way to write it: 5000, 5,000, 5k or five thousand."""
    style = random_source.choice(("figures", "commas", "k", "words"))
    if style == "words":
        thousands = random_source.choice(list(_THOUSANDS))
        return thousands * 1000, f"{_THOUSANDS[thousands]} thousand"
    if style == "k":
        thousands = random_source.choice((random_source.randint(1, 9), random_source.randint(10, 99), 100, 200))
        return thousands * 1000, f"{thousands}k"
    number = random_source.choice((random_source.randint(2, 9) * 100, random_source.randint(10, 250) * 500))
    return number, f"{number:,}" if style == "commas" else str(number)


def _task(say: _Speaker) -> tuple[str, dict[str, Any]]:
    variant = say.random.choice(("switched", "fixed"))
    return say.clause("task", variant), {"task.switch_per_request": variant == "switched"}
