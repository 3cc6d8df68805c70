"""The HTML report: one file that needs nothing, says the same as the terminal, and escapes what it quotes."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from advisor.report.html import render
from tests.report import made_by_hand as made

VOID = {"meta", "rect", "br", "i"}


class Reader(HTMLParser):
    """Collects tags, addresses and text, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [value for name, value in attributes if name in ("href", "src") and value]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.mark.parametrize("make", [made.recommendation, made.nothing_fits, made.gated])
def test_the_page_is_whole_and_needs_no_network_and_no_script(make):
    page = render(make())
    reader = read(page)
    assert {"svg", "title", "h1"} <= reader.tags
    assert "script" not in reader.tags
    assert reader.addresses == []
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_page_says_what_the_terminal_says():
    text = " ".join(" ".join(read(render(made.recommendation())).text).split())
    for part in (
        "Fine-tune Qwen3-8B with LoRA of rank 16",
        "fits",
        "GPU 1 RTX 4090, 14.0 GiB free",
        "2.0M answer tokens fit in an adapter of rank 16. measured: hu2021",
        "lora_rank 16 HYP-01",
        "States of 122 GiB exceed one GPU.",
        "8-bit optimizer: 70.0 GiB, does not fit",
        '--hardware "16GiB"',
        "storage.budget_bytes 50.0 GiB answers file",
    ):
        assert part in text, part


def test_what_is_quoted_is_escaped():
    page = render(made.recommendation(headline="<script>alert(1)</script>", warnings=("a & b <i>",)))
    assert "<script>" not in page
    assert "a &amp; b &lt;i&gt;" in page


def test_the_bars_add_up():
    page = render(made.recommendation())
    bar = page[page.index("<svg") : page.index("</svg>")]
    parts = [
        (float(x), float(width)) for x, width in re.findall(r'<rect x="([\d.]+)" width="([\d.]+)"[^>]*fill', bar)
    ]
    for (left, width), (right, _) in pairwise(parts):
        assert abs(left + width - right) <= 0.2
    assert 0.9 * 1000 * 18.2 / 23 < parts[-1][0] + parts[-1][1] < 1.1 * 1000 * 18.2 / 23
