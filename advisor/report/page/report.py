"""A Recommendation as one HTML file: no network, opens from disk, prints well; bars and flow are inline SVG.

Its content policy admits our own style and our own script by their digests and nothing else, so that a name that
got past the escaping would still not run.
"""

from __future__ import annotations

import base64
import hashlib

from advisor.base.language import current
from advisor.decide.model_map import ModelMap
from advisor.decide.recommendation import Recommendation
from advisor.report.page.answer import context
from advisor.report.page.environment import asset, environment
from rules.engine import RuleBook


def render(result: Recommendation, book: RuleBook, made_on: str, found: ModelMap | None = None) -> str:
    """The whole page. `made_on` is the date that it shows; `book` the rules that the answer was judged by.

    `found`: what else the machine trains, where the page is to show it.
    """
    from markupsafe import Markup

    style, script = asset("page.css"), asset("copy.js")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
    return (
        environment()
        .get_template("report.html")
        .render(
            context(result, book, found=found),
            language=current().replace("_", "-"),
            made_on=made_on,
            policy=policy,
            style=Markup(style),
            script=Markup(script),
        )
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
