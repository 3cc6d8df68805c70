"""The report in a real browser: its own script runs, and nothing that a stranger wrote does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.report.page.test_report import hostile, page_of
from tests.waiting import PATIENCE_SECONDS

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
SMUGGLED = '<main><script>document.body.id="taken"</script><img src="x" onerror="document.body.id=1">'


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt install chromium")
@pytest.mark.parametrize("smuggled", [False, True], ids=["escaped", "past the escaping"])
def test_a_name_of_a_stranger_runs_nothing(tmp_path: Path, smuggled: bool) -> None:
    page = page_of(hostile())
    if smuggled:
        assert "<main>" in page
        page = page.replace("<main>", SMUGGLED)
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    shown = subprocess.run(
        [str(BROWSER), *flags, file.as_uri()], check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    body = shown.stdout[shown.stdout.index("<body") :]
    assert body.startswith("<body>")
    assert 'class="copy">Copy' in body, "the script of the page itself did not run"
