"""The tested set is pinned with digests, and every licence that asks for a word has one."""

import json
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.docs.notice import NOTICE, licence_of

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK, re.MULTILINE))


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[ <>=!~;\[]", name)[0]).lower()


def test_everything_that_is_asked_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["train"], *extras["vision"]]
    assert {plain(name) for name in wanted} <= {plain(name) for name in PINS}


def test_each_pin_has_a_digest() -> None:
    entries = re.split(r"^(?=[A-Za-z0-9._-]+==)", LOCK, flags=re.MULTILINE)
    assert [entry for entry in entries if "==" in entry and "--hash=sha256:" not in entry] == []


def test_every_pin_has_its_licence_in_the_notice() -> None:
    named = set(re.findall(r"^([A-Za-z0-9._-]+): ", NOTICE.read_text(encoding="utf-8"), re.MULTILINE))
    of_other_systems = {name for name in PINS if licence_of(name) is None}
    assert set(PINS) - of_other_systems <= named
    assert named <= set(PINS)


def test_what_may_break_with_a_major_version_is_bounded() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [
        *project["dependencies"],
        *extras["train"],
        *extras["vision"],
        *extras["ui"],
        *extras["mcp"],
        *extras["ray"],
    ]
    free = {plain(name) for name in asked if "<" not in name}
    assert free == {"nvidia-ml-py", "packaging"}  # versions that count the driver's, and years


class Faults(BaseHTTPRequestHandler):
    """A database of known faults, in the form of OSV, that knows one of them."""

    asked: ClassVar[list[str]] = []
    faulty = ""

    def do_POST(self) -> None:
        name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        self.asked.append(name)
        reach = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9999"}]}]
        affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": reach}]
        fault = {"id": "OSV-1", "details": "", "published": "2026-01-01T00:00:00Z", "affected": affected}
        said = json.dumps({"vulns": [fault]} if name == self.faulty else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.slow
@pytest.mark.parametrize(("faulty", "code"), [("", 0), ("jinja2", 1)])
def test_continuous_integration_fails_on_a_known_fault(
    faulty: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    (command,) = re.findall(r"run: (pip-audit .*)", workflow)
    monkeypatch.setattr(Faults, "asked", [])
    monkeypatch.setattr(Faults, "faulty", faulty)
    with ThreadingHTTPServer(("127.0.0.1", 0), Faults) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        database = ["-s", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}", "--cache-dir", str(tmp_path)]
        words = [sys.executable, "-m", command.replace("pip-audit", "pip_audit", 1).split()[0], *command.split()[1:]]
        done = subprocess.run([*words, *database], cwd=ROOT, capture_output=True, text=True, check=False)
        server.shutdown()
    assert done.returncode == code, done.stderr
    assert {plain(name) for name in Faults.asked} == {plain(name) for name in PINS}
    assert ("OSV-1" in done.stdout) == bool(faulty)


def test_the_notice_names_what_is_not_permissive() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert re.search(r"^python-stdnum: .*Lesser General Public", notice, re.MULTILINE)
    assert re.search(r"^certifi: Mozilla", notice, re.MULTILINE)
