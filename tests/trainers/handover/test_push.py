"""A push shows before it sends, keeps paths of this machine here, and sends what it showed: to a hub played here."""

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.documents import validated
from tests.trainers.handover.test_deliver import run_folder
from tests.trainers.plans import lora_plan
from trainers import exit_codes
from trainers.errors import PlanRefused
from trainers.handover.deliver import deliver
from trainers.handover.push import planned, send
from trainers.python import child_environment, module_command


class Hub(BaseHTTPRequestHandler):
    """The hub's part of a push: a repository is made, files are announced, and come in one commit."""

    seen: dict[str, Any]
    refuses = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.setdefault("asked", []).append(self.path)
        if self.refuses:
            self.answer({"error": "Invalid user token."}, 401)
        elif self.path == "/api/repos/create":
            self.seen["made"] = json.loads(body)
            self.answer({"url": self.home, "id": "my-org/support"})
        elif self.path.endswith("/preupload/main"):
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif self.path.endswith("/commit/main"):
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            self.seen["files"] = {file["path"]: base64.b64decode(file["content"]) for file in files}
            self.answer({"commitUrl": self.home + "/commit/1", "commitOid": "1" * 40, "success": True})
        else:
            self.answer({})

    def do_GET(self) -> None:
        self.answer({"siblings": [], "id": "my-org/support", "sha": "0" * 40})

    @property
    def home(self) -> str:
        return f"http://{self.headers['Host']}/my-org/support"

    def answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def hub() -> Iterator[tuple[str, type[Hub]]]:
    kind = type("OneHub", (Hub,), {"seen": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", kind
    server.shutdown()
    server.server_close()


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    run_dir = run_folder(tmp_path, lora_plan())
    deliver(run_dir, base_name="org/base")
    (run_dir / "result" / "adapter_model.safetensors").write_bytes(b"weights")
    (run_dir / "result" / "training_args.bin").write_bytes(b"a pickle")
    (run_dir / "result" / ".lock").touch()
    return run_dir


def push(run_dir: Path, endpoint: str, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_" + "x" * 34, **child_environment()}
    command = module_command("trainers.handover.push", run_dir, "my-org/support", *more)
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_without_send_it_is_shown_and_nothing_leaves(delivered: Path, hub: tuple[str, type[Hub]]) -> None:
    done = push(delivered, hub[0])
    assert done.returncode == exit_codes.DONE, done.stderr
    assert "for my-org/support (private):" in done.stdout
    assert "adapter_model.safetensors" in done.stdout
    assert "nothing was sent; add --send" in done.stdout
    assert hub[1].seen == {}


def test_with_send_the_files_that_were_shown_go_and_no_others(delivered: Path, hub: tuple[str, type[Hub]]) -> None:
    done = push(delivered, hub[0], "--send")
    assert done.returncode == exit_codes.DONE, done.stderr + done.stdout
    made, files = hub[1].seen["made"], hub[1].seen["files"]
    assert (made["name"], made["organization"], made["visibility"]) == ("support", "my-org", "private")
    assert files.keys() == planned(delivered, "my-org/support").files.keys()
    assert {"adapter_model.safetensors", "README.md", "adapter_config.json", "Modelfile"} <= files.keys()
    assert not files.keys() & {"training_args.bin", ".lock"}
    assert files["adapter_model.safetensors"] == b"weights"


def test_as_json_it_says_what_would_go_and_where_it_went(delivered: Path, hub: tuple[str, type[Hub]]) -> None:
    shown = validated("push", json.loads(push(delivered, hub[0], "--json").stdout))
    assert (shown["repository"], shown["private"], shown["sent"]) == ("my-org/support", True, None)
    assert shown["files"]["adapter_model.safetensors"] == len(b"weights")
    assert hub[1].seen == {}
    gone = validated("push", json.loads(push(delivered, hub[0], "--send", "--json").stdout))
    assert gone == {**shown, "sent": f"{hub[0]}/my-org/support"}


def test_a_hub_that_refuses_is_an_error_with_a_remedy(delivered: Path, hub: tuple[str, type[Hub]]) -> None:
    hub[1].refuses = True
    done = push(delivered, hub[0], "--send")
    assert done.returncode == exit_codes.ENVIRONMENT
    assert "the hub did not take my-org/support" in done.stderr
    assert "hf auth login" in done.stderr


def test_a_path_of_this_machine_and_a_missing_card_are_in_the_way(delivered: Path) -> None:
    (delivered / "result" / "README.md").unlink()
    (delivered / "result" / "notes.txt").write_text(f"trained in {delivered.resolve()}")
    found = planned(delivered, "my-org/support")
    assert len(found.problems) == 2
    assert "notes.txt names a folder of this machine" in found.problems[1]
    with pytest.raises(PlanRefused, match="nothing was sent"):
        send(found)


def test_the_network_that_was_switched_off_stays_off(delivered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFT_ADVISOR_NETWORK", "none")
    with pytest.raises(PlanRefused) as refused:
        send(planned(delivered, "my-org/support"))
    assert "switched off" in str(refused.value.why)


@pytest.mark.parametrize("name", ["support", "a/b/c", "../support", "org/", "org/na me", ""])
def test_a_name_that_no_repository_has_is_refused(delivered: Path, name: str) -> None:
    with pytest.raises(PlanRefused, match="is no name of a repository"):
        planned(delivered, name)


def test_public_is_asked_for(delivered: Path) -> None:
    assert planned(delivered, "my-org/support").private
    assert not planned(delivered, "my-org/support", public=True).private
