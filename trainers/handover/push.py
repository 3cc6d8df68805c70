"""Send a result to a hub: `python -m trainers.handover.push RUN_DIR ORG/NAME [--folder DIR] [--public] [--send]`.

Without `--send` nothing leaves this machine: the files that would go are listed, and what stands in the way. A
repository is made private unless `--public` says otherwise. HF_ENDPOINT names another hub than huggingface.co;
HF_TOKEN or `hf auth login` says who sends.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Literal, cast

import msgspec

from trainers import amounts
from trainers.errors import EnvironmentLacking, PlanRefused
from trainers.foreign.records import printable
from trainers.foreign.text import terminal
from trainers.handover.deliver import artifact
from trainers.language import tr
from trainers.network import VARIABLE, stay_quiet
from trainers.plan import load_plan
from trainers.run_folder import layout
from trainers.run_folder.failures import explained

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_SENT = (".safetensors", ".gguf", ".json", ".jinja", ".md", ".txt", ".model", ".py")
"""Endings of what engines and people read; pickles (`.bin`, `.pt`) and what a training needs to go on stay here."""
_READ_BYTES = 4 << 20
"""Text files up to here are read for paths of this machine."""


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """What would go to a hub, or has gone."""

    schema: Literal["sft-advisor/push/v1"] = "sft-advisor/push/v1"
    """Name and version of this document."""
    folder: Path
    """Where the files lie."""
    repository: str
    """OWNER/NAME on the hub."""
    private: bool
    """Whether only its owner would see the repository, if it is new."""
    files: dict[str, int]
    """Name -> bytes."""
    problems: tuple[str, ...] = ()
    """Why nothing should be sent yet, each as a sentence."""
    sent: str | None = None
    """Where it is now; null as long as nothing was sent."""

    @property
    def lines(self) -> list[str]:
        """The same for people."""
        kind = tr("private") if self.private else tr("public")
        whole = amounts.size(sum(self.files.values()))
        head = tr("{count} files, {size}, for {repository} ({kind}):", count=len(self.files), size=whole,
                  repository=self.repository, kind=kind)  # fmt: skip
        return [head, *(f"  {name}  {amounts.size(size)}" for name, size in self.files.items())]


def planned(run_dir: Path, repository: str, *, folder: Path | None = None, public: bool = False) -> Push:
    """What a push would send, and what stands in its way. Raises PlanRefused for a name that no repository has, or a
    run without a result."""
    if not _REPOSITORY.fullmatch(repository):
        raise PlanRefused(
            tr("{repository} is no name of a repository", repository=repository),
            why=tr("a hub wants OWNER/NAME, of letters, digits, '-', '_' and '.'"),
            fix=tr("name it like my-org/support-assistant"),
        )
    plan = load_plan(run_dir / layout.PLAN)
    folder = artifact(run_dir, folder)
    files = {
        file.name: file.stat().st_size
        for file in sorted(folder.iterdir())
        if file.is_file()
        and not file.name.startswith(".")
        and (file.suffix in _SENT or file.name == layout.MODELFILE)
    }
    problems = []
    if layout.MODEL_CARD not in files:
        problems.append(tr("there is no model card: sft-advisor runs merge {run_dir} --deliver", run_dir=run_dir))
    private_paths = {str(run_dir.resolve()), *([plan.model.name] if Path(plan.model.name).is_absolute() else [])}
    naming = [name for name, size in files.items() if size <= _READ_BYTES and _names(folder / name, private_paths)]
    if naming:
        problems.append(
            tr(
                "{files} names a folder of this machine; deliver it again with --base-name ORG/MODEL",
                files=", ".join(naming),
            )
        )
    return Push(folder=folder, repository=repository, private=not public, files=files, problems=tuple(problems))


def send(push: Push) -> str:
    """Make the repository where it is not there, and send the files as one commit. Return where they are.

    Raises PlanRefused while something stands in the way, or the network is switched off, and EnvironmentLacking when
    the hub cannot be reached or refuses. Other files that are on the hub already stay.
    """
    if push.problems:
        raise PlanRefused(tr("nothing was sent"), why="; ".join(push.problems), fix=tr("mend this first"))
    if os.environ.get(VARIABLE) == "none" or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise PlanRefused(
            tr("nothing was sent"),
            why=tr("the network is switched off (--network none, or HF_HUB_OFFLINE)"),
            fix=tr("allow it with --network hub"),
        )
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    # An OSError, and an error of whichever client this version of the library speaks HTTP through.
    unreached = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    hub = HfApi()
    try:
        made = hub.create_repo(push.repository, private=push.private, exist_ok=True)
        hub.upload_folder(
            repo_id=push.repository,
            folder_path=push.folder,
            allow_patterns=list(push.files),
            commit_message=f"{push.repository.partition('/')[2]}, by sft-advisor",
        )
    except unreached as error:
        raise EnvironmentLacking(
            tr("the hub did not take {repository}", repository=push.repository),
            why=(str(error).strip() or type(error).__name__).splitlines()[0],
            fix=tr("log in with `hf auth login` (a token that may write), look at the network, then push again"),
        ) from error
    return str(made)


def _names(file: Path, paths: set[str]) -> bool:
    if file.suffix in (".safetensors", ".gguf"):
        return False
    text = file.read_text("utf-8", errors="replace")
    return any(path in text for path in paths)


def main(arguments: list[str] | None = None) -> int:
    """The command. Return an exit code of trainers.exit_codes."""
    parser = argparse.ArgumentParser(prog="python -m trainers.handover.push", description="Send a result to a hub.")
    parser.add_argument("run_dir", type=Path, help="folder of a finished run")
    parser.add_argument("repository", metavar="ORG/NAME", help="where to")
    parser.add_argument("--folder", type=Path, help="folder of the result (RUN_DIR/merged, else RUN_DIR/result)")
    parser.add_argument("--public", action="store_true", help="for everybody to see, if the repository is new")
    parser.add_argument("--send", action="store_true", help="really send it")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    options = parser.parse_args(arguments)
    stay_quiet(os.environ)

    def act() -> None:
        push = planned(options.run_dir, options.repository, folder=options.folder, public=options.public)
        if options.json:
            sent = send(push) if options.send else None
            print(printable(msgspec.structs.replace(push, sent=sent)))
            return
        print(terminal("\n".join(push.lines)))
        if options.send:
            print(terminal(tr("sent: {where}", where=send(push))))
            return
        for problem in push.problems:
            print(terminal(tr("in the way: {problem}", problem=problem)))
        if not push.problems:
            print(tr("nothing was sent; add --send to send it"))

    return explained(act)


if __name__ == "__main__":
    sys.exit(main())
