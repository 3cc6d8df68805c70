"""The map: which models it looks at, in which order, for which amount of data."""

from __future__ import annotations

from advisor.decide.model_map import ModelMap, model_map
from advisor.probe import hardware_from_text
from rules.engine import RuleBook


def drawn(book: RuleBook, machine: str, *words: str, **options: object) -> ModelMap:
    return model_map(hardware_from_text(machine), machine, options.pop("answers", {}), book, words=words, **options)  # type: ignore[arg-type]


def test_words_choose_models_and_the_largest_comes_first(book: RuleBook) -> None:
    found = drawn(book, "RTX 4090", "qwen3-", "apache")
    sizes = [row.model.params for row in found.rows]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) > 3
    assert all("qwen3-" in row.model.name.lower() and row.model.licence == "apache-2.0" for row in found.rows)
    assert all(len(row.cells) == len(found.methods) * len(found.lengths) for row in found.rows)


def test_what_does_not_fit_is_named_only_on_demand(book: RuleBook) -> None:
    few = drawn(book, "8 GiB", "llama-3.1", lengths=(2048,))
    everything = drawn(book, "8 GiB", "llama-3.1", lengths=(2048,), everything=True)
    assert few.num_models == everything.num_models == len(everything.rows) > len(few.rows)
    assert all(row.fits for row in few.rows) and not all(row.fits for row in everything.rows)


def test_older_models_are_left_out_until_they_are_asked_for(book: RuleBook) -> None:
    named = drawn(book, "RTX 4090", "pythia", methods=("lora",), lengths=(1024,))
    assert named.rows and named.num_older == 0
    usual = drawn(book, "cpu, 2GB RAM", methods=("lora",), lengths=(512,))
    assert usual.num_older > 20 and not any("pythia" in row.model.name for row in usual.rows)


def test_more_data_takes_longer(book: RuleBook) -> None:
    def seconds(examples: int) -> float:
        answers = {"data.examples": examples, "data.total_tokens": examples * 500}
        found = drawn(book, "RTX 4090", "qwen3-4b", answers=answers, methods=("lora",), lengths=(2048,))
        time = found.rows[-1].cells[0].total_seconds
        assert time is not None and found.examples == examples
        return time

    assert seconds(5_000) < seconds(20_000) < seconds(100_000)
