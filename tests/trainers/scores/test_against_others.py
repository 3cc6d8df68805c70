"""Each measure on 1,000 pairs against code that others have written and keep."""

import random

import pytest

from trainers.scores.classes import classes
from trainers.scores.text import chrf, rouge_l, token_f1

WORDS = (
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "on",
    "mat",
    "über",
    "straße",
    "12",
    "3.5",
    "isn't",
    "well-known,",
    "Yes!",
    "你好",
)


def pairs() -> list[tuple[str, str]]:
    source = random.Random(3)

    def text() -> str:
        return source.choice((" ", "  ", "\n")).join(source.choices(WORDS, k=source.randint(0, 14)))

    return [(text(), text()) for _ in range(1_000)]


def test_chrf_is_that_of_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    for reference, answer in pairs():
        assert 100 * chrf(reference, answer) == pytest.approx(
            sacrebleu.sentence_chrf(answer, [reference]).score, abs=1e-9
        )


def test_rouge_l_is_that_of_rouge_score() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    for reference, answer in pairs():
        assert rouge_l(reference, answer) == pytest.approx(scorer.score(reference, answer)["rougeL"].fmeasure)


def test_token_f1_is_rouge_1_of_words_without_marks_and_articles() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rouge1"])
    source = random.Random(5)
    plain = [word for word in WORDS if word.isascii() and word.isalnum() and word not in ("the", "a")]
    for _ in range(1_000):
        reference, answer = (" ".join(source.choices(plain, k=source.randint(1, 14))) for _ in range(2))
        assert token_f1(reference, answer) == pytest.approx(scorer.score(reference, answer)["rouge1"].fmeasure)
        assert token_f1(f"The {reference}!", answer.upper()) == token_f1(reference, answer)


def test_accuracy_macro_f1_and_confusion_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    source = random.Random(4)
    wanted = source.choices("abcd", k=1_000)
    found = [label if source.random() < 0.6 else source.choice("abcd") for label in wanted]
    ours = classes(wanted, found)
    assert ours.accuracy == pytest.approx(metrics.accuracy_score(wanted, found))
    assert ours.macro_f1 == pytest.approx(metrics.f1_score(wanted, found, average="macro"))
    table = metrics.confusion_matrix(wanted, found, labels=list("abcd"))
    assert [[ours.confusion[a].get(b, 0) for b in "abcd"] for a in "abcd"] == table.tolist()
