"""The recommendation on a terminal: every part is there, at every width, with colour and without."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console, RenderableType

from advisor.decide.recommendation import Candidate, Caution
from advisor.probe import hardware_from_text
from advisor.report import words
from advisor.report.bars import LETTERS, Legend, MemoryBar
from advisor.report.machine import machine, one_line
from advisor.report.terminal import recommendation
from tests.report import made_by_hand as made
from trainers import amounts


def printed(what: RenderableType, width: int = 80, colour: bool = False) -> str:
    screen = Console(
        file=io.StringIO(), width=width, force_terminal=colour, no_color=not colour, highlight=False, markup=False
    )
    screen.print(what)
    return screen.file.getvalue()


def one_paragraph(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [40, 80, 140])
@pytest.mark.parametrize("make", [made.recommendation, made.nothing_fits, made.gated])
def test_no_line_is_wider_than_the_terminal(make, width):
    assert all(len(line) <= width for line in printed(recommendation(make()), width).splitlines())


def test_every_part_of_the_answer_is_shown():
    shown = one_paragraph(printed(recommendation(made.recommendation()), 140))
    for part in (
        "Fine-tune Qwen3-8B with LoRA of rank 16",
        "8.19B parameters · 2x RTX 4090 · 5,000 examples",
        "of 23.0 GiB free: fits",
        "GPU 0 RTX 4090 23.0 GiB free",
        "GPU 1 RTX 4090 14.0 GiB free",
        "2 h 36 min",
        "result 84 MiB, one checkpoint 252 MiB",
        "base weights 16.0 GiB in the cache",
        "lora_rank 16 HYP-01",
        "learning_rate 2e-4 HYP-05",
        "global_batch_size 16",
        "+2 QUA-22 2.0M answer tokens fit in an adapter of rank 16. [measured: hu2021]",
        "-1 STO-03 A merged model takes 15.3 GiB <each>. [measured: guide, vllm-1]",
        "vllm serve runs/merged",
        "QLoRA 9.2 GiB It is slower, and LoRA fits.",
        "full fine-tuning 133.0 GiB States of 122 GiB exceed one GPU.",
        "! GPU 1 is in use by another process. -> Stop it.",
        'a card of 16 GB -> QLoRA --hardware "16GiB"',
        "task.shift --task-shift",
    ):
        assert part in shown, part


def test_nothing_fits_shows_the_closest_and_what_helps():
    shown = one_paragraph(printed(recommendation(made.nothing_fits())))
    for part in ("The closest: QLoRA", "does not fit", "1. Take a shorter sequence", "It needs 30 GiB."):
        assert part in shown


def test_a_gate_says_what_to_do_instead():
    shown = one_paragraph(printed(recommendation(made.gated())))
    for part in ("Why not", "GATE-03 The answers hold facts that change.", "Instead: Use retrieval.", "train anyway"):
        assert part in shown


def test_markup_in_a_message_is_shown_as_it_is():
    result = made.recommendation(warnings=(Caution(message="[red]boo[/red] [/]"),))
    assert "[red]boo[/red] [/]" in printed(recommendation(result))


def test_options_that_are_off_are_not_listed():
    shown = printed(recommendation(made.recommendation()))
    assert "use_dora" not in shown
    assert "num_virtual_tokens" not in shown


def test_settings_come_with_the_rule_and_its_reason():
    rule = made.trace("HYP-01", "set", "Rank 16 for 5,000 chats.", sets={"lora_rank": 16})
    idle = made.trace("HYP-02", "set", "Not this one.", sets={})
    result = made.recommendation(best=made.candidate("lora", 15.3, 0.3, settings=(rule, idle)))
    shown = one_paragraph(printed(recommendation(result)))
    assert "HYP-01 Rank 16 for 5,000 chats. [measured: hu2021]" in shown
    assert "Not this one." not in shown


@pytest.mark.parametrize("width", [20, 81, 133])
def test_a_bar_is_as_long_as_its_share(width):
    bar = printed(MemoryBar({"weights": 50, "logits": 25}, high_bytes=80, limit_bytes=100), width).rstrip("\n")
    cells = width - 1
    assert len(bar) == width
    assert bar.count("W") == round(0.5 * cells)
    assert abs(bar.count("L") - 0.25 * cells) <= 1
    assert abs(bar.count("▒") - 0.05 * cells) <= 1
    assert bar.endswith("│")


def test_a_bar_beyond_the_limit_marks_it_inside():
    bar = printed(MemoryBar({"weights": 150}, limit_bytes=100), 61).rstrip("\n")
    assert bar.index("│") == 40
    assert bar.count("W") == 60


def test_a_tiny_component_still_gets_a_cell():
    bar = printed(MemoryBar({"weights": 10**9, "adapters": 1, "logits": 1}, limit_bytes=2 * 10**9), 80)
    assert "A" in bar
    assert "L" in bar


def test_colour_uses_blocks_and_no_colour_uses_letters_that_differ():
    parts = dict.fromkeys(LETTERS, 10)
    assert "█" in printed(MemoryBar(parts), colour=True)
    plain = printed(MemoryBar(parts)) + printed(Legend(parts))
    assert "█" not in plain
    assert all(letter in plain for letter in LETTERS.values())
    assert len(set(LETTERS.values())) == len(LETTERS)


def test_one_glance_at_the_machine():
    shown = one_paragraph(printed(machine(made.hardware()), 100))
    for part in (
        "2x RTX 4090, 14.0 GiB free on the fullest",
        "taken: 9.0 GiB by python train.py (4242)",
        "lost: the driver cannot reach it",
        "100.0 GiB available of 128.0 GiB",
        "580.65.06, CUDA up to 13.0",
        "error GPU 2 fell off the bus",
        "look for Xid 79 in dmesg",
    ):
        assert part in shown, part


def test_a_machine_without_gpus_says_so_in_words():
    from advisor.probe.hardware import Hardware

    assert one_line(Hardware()).startswith("No usable GPU (none found)")
    assert "none can be used" in one_line(Hardware(state="unusable"))


def test_figures_in_words():
    assert amounts.size(None) == "unknown"
    assert amounts.size(0) == "0 bytes"
    assert amounts.duration(40) == "40 s"
    assert amounts.duration(5 * 86400) == "5.0 days"
    assert words.plain(1e-5) == "1e-5"
    assert words.plain(2.5e-4) == "2.5e-4"
    assert words.plain(0.05) == "0.05"
    assert words.plain(("q_proj", "v_proj")) == "q_proj, v_proj"
    assert words.index_range([0, 1, 2, 3]) == "0-3"
    assert words.index_range([0, 2]) == "0, 2"
    assert words.gpu_names(made.hardware().usable_gpus) == "2x RTX 4090"


def test_a_machine_that_was_named_by_its_place_says_what_it_was_taken_for():
    made_here = msgspec.structs.replace(made.recommendation(), hardware=hardware_from_text("Colab T4"))
    shown = one_paragraph(printed(recommendation(made_here), 140))
    assert "The machine, as it was read" in shown
    assert "`colab t4` was taken for Google Colab T4 (free)" in shown and "a session ends after 12 h" in shown
    assert "as it was read" not in printed(recommendation(made.recommendation()))


def timed(hours: float) -> Candidate:
    best = made.recommendation().best
    assert best is not None and best.time is not None
    seconds = {"total_seconds": hours * 3600, "low_seconds": hours * 1800, "high_seconds": hours * 7200}
    return msgspec.structs.replace(best, time=msgspec.structs.replace(best.time, **seconds))


def test_a_rented_machine_says_what_the_run_costs():
    (line,) = words.offer_lines(timed(10), hardware_from_text("g5.xlarge"))
    assert line == "5.03 to 20.12 US dollars, at 1.01 an hour (2026-07-20)"
    (line,) = words.offer_lines(timed(10), hardware_from_text("4 nodes of g5.xlarge"))
    assert line.startswith("20.12 to 80.48 US dollars, at 1.01 an hour a machine")
    assert words.offer_lines(timed(10), hardware_from_text("RTX 4090")) == []


def test_a_session_that_ends_before_the_run_says_how_to_go_on():
    assert words.offer_lines(timed(2), hardware_from_text("colab")) == ["free of charge"]
    free, session = words.offer_lines(timed(10), hardware_from_text("colab"))
    assert free == "free of charge" and "after 12 h" in session and "sft-advisor runs resume RUN_DIR" in session
