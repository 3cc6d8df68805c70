"""sft-advisor map: as a table, as JSON, and with what it refuses."""

from __future__ import annotations

import json

import pytest

from advisor.base.errors import EXIT_BAD_INPUT, EXIT_NOTHING_FITS, EXIT_OK


def test_the_table_names_models_hours_and_what_its_signs_mean(run) -> None:
    code, out, _ = run("map", "--hardware", "RTX 4090", "qwen3-8b")
    assert code == EXIT_OK
    row = next(line for line in out.splitlines() if line.startswith("Qwen3-8B "))
    assert "8.19B" in row and "h!" in row and "-" in row
    assert "tight" in out and "5,000 examples" in out


def test_json_holds_bytes_and_seconds_of_each_cell(run) -> None:
    code, out, _ = run("map", "--hardware", "8x H100", "llama-3.3", "--json", "--lengths", "4k", "--method", "lora")
    document = json.loads(out)
    assert (code, document["schema"], document["lengths"]) == (EXIT_OK, "sft-advisor/map/v1", [4096])
    (row,) = document["rows"]
    (cell,) = row["cells"]
    assert (
        cell["verdict"] == "fits" and cell["need_bytes"] < document["available_bytes"] and cell["total_seconds"] > 0
    )
    assert row["model"]["gated"] is True


def test_a_machine_without_room_ends_with_nothing_fits(run) -> None:
    code, out, _ = run("map", "--hardware", "8GiB", "deepseek-v3")
    assert code == EXIT_NOTHING_FITS and "0 of" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuchmodel"], "nosuchmodel"),
        (["--lengths", "many"], "a whole number of tokens is expected"),
        (["--hardware", "RTX 4091"], "RTX 4090"),
        (["--data-examples", "-3"], "--data-examples"),
    ],
)
def test_what_cannot_be_asked_is_refused(run, arguments: list[str], said: str) -> None:
    code, _, error = run("map", "--hardware", "8GiB", *arguments)
    assert code == EXIT_BAD_INPUT and said in error
