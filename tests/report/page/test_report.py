"""The HTML report: one file that needs nothing, says the same as the terminal, and escapes what it quotes."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import get_args

import msgspec
import pytest

from advisor.decide.recommendation import AnswerView, Caution, Recommendation, Verdict
from advisor.report.page.answer import BADGES
from advisor.report.page.report import render
from rules.engine import load_rule_book
from tests.report import made_by_hand as made

BOOK = load_rule_book()
UNCLOSED = ("meta", "br")
HOSTILE = (
    '"><script>document.body.id="taken"</script><img src=x onerror=document.body.id="taken">\u202etxt.exe\x1b[2J'
)


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.ids: set[str] = set()
        self.text: list[str] = []
        self.inside: dict[str, str] = {}

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        self.ids |= {value for name, value in attributes if name == "id" and value}
        if tag not in UNCLOSED:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            self.inside[self.open[-1]] = data
        else:
            self.text.append(data)

    @property
    def addresses(self) -> list[str]:
        return [value for name, value in self.attributes if name in ("href", "src", "action")]


def page_of(result: Recommendation) -> str:
    return render(result, BOOK, "2026-01-31")


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def words_of(page: str) -> str:
    return " ".join(" ".join(read(page).text).split())


@pytest.mark.parametrize("make", [made.recommendation, made.nothing_fits, made.gated])
def test_the_page_is_whole_and_runs_and_fetches_nothing_but_what_its_policy_names(make):
    reader = read(page_of(make()))
    assert {"svg", "title", "h1"} <= set(reader.tags)
    assert reader.tags.count("script") == 1
    policy = next(value for name, value in reader.attributes if name == "content" and "default-src 'none'" in value)
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(reader.inside[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name == "style"]
    assert all(address.startswith(("https://", "#rule-")) for address in reader.addresses)
    assert {address[1:] for address in reader.addresses if address[0] == "#"} <= reader.ids
    assert not re.search(r"url\(|@import", reader.inside["style"])


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_every_verdict_has_its_badge(verdict):
    assert words_of(page_of(made.recommendation(verdict=verdict))).count(BADGES[verdict])


def test_a_repair_stands_before_the_figures_and_is_said_once():
    repair = Caution(message="The driver is too old.", fix="Install driver 580.")
    text = words_of(page_of(made.recommendation(verdict="repair_first", repairs=(repair,), warnings=(repair,))))
    assert text.count("The driver is too old. Install driver 580.") == 1
    assert text.index("Install driver 580.") < text.index("memory 18.2 GiB")


def test_the_page_says_what_the_terminal_says():
    text = words_of(page_of(made.recommendation()))
    for part in (
        "Recommended Fine-tune Qwen3-8B with LoRA of rank 16",
        "up to 19.6 GiB of 23.0 GiB free",
        "fits",
        "GPU 1 RTX 4090, 14.0 GiB free",
        "2.0M answer tokens fit in an adapter of rank 16. QUA-22 measured: hu2021",
        "States of 122 GiB exceed one GPU.",
        "8-bit optimizer: 70.0 GiB, does not fit",
        '--hardware "16GiB"',
        "50.0 GiB answers file",
        "sft-advisor launch plan.toml",
        "sft-advisor 0.1.0, 2026-01-31",
    ):
        assert part in text, part


def test_each_source_with_an_address_of_the_web_is_a_link_and_no_other():
    fired = made.trace("QUA-22", "prefer", "said", weight=2, sources=("lora2021", "arithmetic", "evil"))
    best = msgspec.structs.replace(made.candidate("lora", 15.3, 0.3), reasons=(fired,))
    sources = BOOK.sources | {"evil": msgspec.structs.replace(BOOK.sources["lora2021"], url="javascript:alert(1)")}
    book = load_rule_book()
    book.sources = sources
    addresses = set(read(render(made.recommendation(best=best), book, "2026-01-31")).addresses)
    assert "https://arxiv.org/abs/2106.09685" in addresses
    assert not [address for address in addresses if "javascript" in address]


def test_each_value_of_a_real_plan_stands_with_its_reason(real_recommendation: Recommendation):
    page = page_of(real_recommendation)
    assert len(page.encode()) <= 150_000
    rows = re.findall(
        r'<tr><th scope="row"[^>]*>(\w+)</th><td><code>.*?</code></td>\s*<td class="quiet">(.*?)</td>', page
    )
    unexplained = [field for field, reason in rows if not re.sub(r"<.*?>", "", reason).strip()]
    assert len(rows) > 25
    assert unexplained == []


def hostile() -> Recommendation:
    """A stranger's name wherever one may stand."""
    result = made.recommendation(headline=HOSTILE, warnings=(Caution(message=HOSTILE, fix=HOSTILE),))
    best = msgspec.structs.replace(
        made.candidate("lora", 15.3, 0.3),
        plan=made.plan(output_dir=HOSTILE),
        reasons=(made.trace("QUA-22", "prefer", HOSTILE, sources=(HOSTILE,)),),
    )
    machine = msgspec.structs.replace(result.hardware.gpus[0], name=HOSTILE)
    return msgspec.structs.replace(
        result,
        best=best,
        model=msgspec.structs.replace(result.model, name=HOSTILE, notes=(HOSTILE,)),
        data=msgspec.structs.replace(made.dataset(), source=HOSTILE),
        hardware=msgspec.structs.replace(result.hardware, gpus=(machine, *result.hardware.gpus[1:])),
        answers={"model": AnswerView(value=HOSTILE, origin="flag")},
        unknown_facts={HOSTILE: HOSTILE},
    )


def test_names_of_strangers_are_shown_and_never_obeyed():
    page = page_of(hostile())
    reader = read(page)
    assert reader.tags.count("script") == 1
    assert "img" not in reader.tags
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert "\u202e" not in page and "\x1b" not in page
    assert r"\u202etxt.exe\x1b[2J" in words_of(page)


def test_all_methods_stand_on_one_scale_and_their_parts_join():
    bars = re.findall(r'<svg class="bar".*?</svg>', page_of(made.recommendation()), re.DOTALL)[:3]
    marks = [re.search(r'<rect x="([\d.]+)" width="4"', bar) for bar in bars]
    assert len({mark[1] for mark in marks if mark}) == 1
    for bar in bars:
        parts = [(float(x), float(width)) for x, width in re.findall(r'x="([\d.]+)" width="([\d.]+)"[^>]*"c-', bar)]
        for (left, width), (right, _) in pairwise(parts):
            assert abs(left + width - right) <= 0.2
    assert 'class="c-weights"' in bars[0]
