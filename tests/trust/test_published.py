"""`vet --against` holds a folder against the digests that a hub publishes; the hub is a server of this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.data.conftest import save_model
from tests.model.test_resolve import write_safetensors

ROOT = Path(__file__).resolve().parents[2]


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = save_model(tmp_path / "model")
    write_safetensors(folder / "model.safetensors", {"a": ("F32", [2, 2])})
    return folder


@pytest.fixture
def hub(model: Path) -> Iterator[str]:
    """The address of a hub that publishes the model as it is now."""
    siblings: list[dict[str, Any]] = []
    for path in model.iterdir():
        content = path.read_bytes()
        entry = {"rfilename": path.name, "size": len(content), "blobId": git_sha1(content)}
        if path.suffix == ".safetensors":
            digest = hashlib.sha256(content).hexdigest()
            entry |= {"lfs": {"sha256": digest, "size": len(content), "pointerSize": 130}, "blobId": "0" * 40}
        siblings.append(entry)
    answer = json.dumps({"_id": "1", "id": "org/model", "sha": "a" * 40, "siblings": siblings}).encode()

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def vet(hub: str, *arguments: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    own = {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": hub}
    command = [sys.executable, "-P", "-m", "advisor", "doctor", "vet", *arguments]
    done = subprocess.run(command, env={**environment, **own}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_published_files_are_in_order(model: Path, hub: str) -> None:
    code, said = vet(hub, str(model), "--against", "org/model")
    assert code == 0, said
    assert "nothing was found in this model" in said


def test_a_changed_and_an_added_file_are_named(model: Path, hub: str) -> None:
    write_safetensors(model / "model.safetensors", {"a": ("F32", [2, 3])})
    (model / "extra.txt").write_text("x")
    code, said = vet(hub, str(model), "--against", "org/model", "--json")
    assert code == 2, said
    found = json.loads(said)["findings"]
    assert [one["rule"] for one in found] == ["SEC-16"]
    assert "extra.txt is not among them; model.safetensors differs" in found[0]["what"]


def test_without_a_network_it_is_said(model: Path, hub: str) -> None:
    code, said = vet(hub, str(model), "--against", "org/model", "--network", "none")
    assert code == 5
    assert "cannot ask the hub for org/model" in said
