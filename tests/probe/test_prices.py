"""Own prices: what the file may say, and what is refused, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.base.errors import InputError
from advisor.probe.prices import read_prices


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_places_and_own_machines_have_the_prices_of_the_file(tmp_path: Path) -> None:
    cluster_price = '"2 nodes of 8x H100" = { usd_per_hour = 30, session_hours = 48 }'
    text = f'date = 2026-11-29\n[prices]\n"g5.xlarge" = 0.5\n{cluster_price}'
    place, cluster = read_prices(written(tmp_path, text))
    assert place.offer is not None and cluster.offer is not None
    assert (place.offer.place, place.offer.usd_per_hour, place.offer.price_date) == (
        "AWS g5.xlarge",
        0.5,
        "2026-11-29",
    )
    assert (cluster.num_nodes, cluster.offer.usd_per_hour, cluster.offer.session_hours) == (2, 15, 48)
    assert cluster.offer.place == "2 nodes of 8x H100" and cluster.offer.usd_per_hour_spot is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "prices"),
        ("[prices]\n'RTX 4091' = 1\n'g5.xlarge' = -1", "rtx 4091"),
        ("[prices]\n'RTX 4090' = -1", "not a number of dollars"),
        ("[prices]\n'RTX 4090' = 'cheap'", "prices"),
        ("[prices]\n'RTX 4090' = {}", "not a number of dollars"),
        ("prices = [", "prices"),
        ("[prices]\n'RTX 4090' = { usd_per_day = 3 }", "'RTX 4090': Object contains unknown field `usd_per_day`"),
        ("[prices]", "is empty"),
        (f"[prices]\n'RTX 4090' = {'9' * 5000}", "digits"),
        (f"date = {'[' * 3000}", "prices"),
        ("date = '2026-13-45'\n[prices]\n'RTX 4090' = 1", "date"),
    ],
)
def test_what_is_no_price_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_prices(written(tmp_path, text))
    assert said in " ".join(f"{problem.what} {problem.why}" for problem in caught.value.problems)


def test_all_that_is_wrong_is_said_at_once_and_a_missing_file_too(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_prices(written(tmp_path, "[prices]\n'RTX 4091' = 1\n'RTX 4090' = -1"))
    assert len(caught.value.problems) == 2
    assert all("prices.toml" in (problem.where or "") + problem.what for problem in caught.value.problems)
    with pytest.raises(InputError, match="no prices"):
        read_prices(tmp_path / "none.toml")
