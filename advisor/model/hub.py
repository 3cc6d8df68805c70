"""A model on the Hugging Face hub: its config.json only, from the local cache or over the network."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from advisor.base.errors import InputError, MachineError, Problem
from advisor.base.language import tr
from advisor.model.catalog.near import near_names
from advisor.model.families import spec_from_config
from advisor.model.folder import chat_template, read_config
from advisor.model.spec import ModelSpec
from advisor.model.stored import MODELOPT_FILE

T = TypeVar("T")
Kind = Literal["model", "dataset"]

_TIMEOUT_SECONDS = 5.0
_DEADLINE_SECONDS = 20.0
_ON = {"1", "on", "yes", "true"}


def spec_from_hub(repo: str, *, offline: bool | None = None) -> ModelSpec:
    """The model `repo` ("owner/name") on the hub.

    A config.json in the local cache is used as it is; otherwise it is fetched and cached, never the weights.
    Raises InputError (no such repository, no config.json in it) or MachineError (offline, gated, no network).
    """
    path = cached_file(repo, "config.json") or fetch_file(repo, "config.json", offline=offline)
    if _says_its_format(repo) and not cached_file(repo, MODELOPT_FILE):
        with contextlib.suppress(InputError, MachineError):  # most say it in their config.json
            fetch_file(repo, MODELOPT_FILE, offline=offline)
    spec = spec_from_config(read_config(path), repo.rpartition("/")[2], "hub", f"{repo}/config.json")
    return with_cached_tokenizer(msgspec.structs.replace(spec, path=repo))


def _says_its_format(repo: str) -> bool:
    return any(word in repo.lower() for word in ("fp4", "fp8", "modelopt"))


def with_cached_tokenizer(spec: ModelSpec) -> ModelSpec:
    """The same model, with its tokenizer and chat template when the local hub cache has them."""
    if not spec.path:
        return spec
    tokenizer = cached_file(spec.path, "tokenizer.json")
    settings = cached_file(spec.path, "tokenizer_config.json")
    if tokenizer is None:
        return spec
    template = chat_template((settings or tokenizer).parent) is not None
    return msgspec.structs.replace(spec, tokenizer_path=str(tokenizer), has_chat_template=template)


def is_offline(offline: bool | None = None) -> bool:
    """Whether access to the hub is switched off: by the argument, else by HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE."""
    if offline is not None:
        return offline
    return any(os.environ.get(name, "").lower() in _ON for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def cache_folder() -> Path:
    """Where huggingface_hub keeps downloads: HF_HUB_CACHE, HF_HOME/hub, or ~/.cache/huggingface/hub."""
    stated = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if stated:
        return Path(stated).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(home).expanduser() / "hub"


def cached_file(repo: str, name: str, kind: Kind = "model") -> Path | None:
    """A file of a repository's main revision that was downloaded before, without importing huggingface_hub."""
    folder = cache_folder() / f"{kind}s--{repo.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text().strip()
    except OSError:
        return None
    path = folder / "snapshots" / revision / name
    return path if path.is_file() else None


def fetch_file(repo: str, name: str, kind: Kind = "model", *, offline: bool | None = None) -> Path:
    """One file of a hub repository, downloaded into the cache. Raises InputError or MachineError within seconds when
    there is no such file or it cannot be reached."""
    if is_offline(offline):
        why = tr("the hub is switched off (HF_HUB_OFFLINE) and it is not in the local cache")
        raise MachineError(_unreachable(repo, kind, why))
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    def download() -> Path:
        # The first request does not retry, so that a machine without network says so at once.
        get_hf_file_metadata(hf_hub_url(repo, name, repo_type=kind), timeout=_TIMEOUT_SECONDS)
        return Path(hf_hub_download(repo, name, repo_type=kind, etag_timeout=_TIMEOUT_SECONDS))

    return ask_hub(repo, name, kind, download)


def ask_hub(repo: str, name: str, kind: Kind, request: Callable[[], T], *, seconds: float = _DEADLINE_SECONDS) -> T:
    """The answer of a request to the hub, with every failure in our own words."""
    from huggingface_hub import errors

    try:
        return _within(request, seconds)
    except errors.GatedRepoError as error:
        fix = tr("Accept it at https://huggingface.co/{repo} and run: hf auth login", repo=repo)
        what, why = tr("{repo} is gated", repo=repo), tr("The owner asks you to accept the licence first.")
        raise MachineError(
            Problem(what=what, why=why, fix=_or_catalog(fix, repo, kind), where=_flag(kind))
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise _not_found(repo, kind, tr("The hub has no such repository, or it is private.")) from error
    except errors.LocalEntryNotFoundError as error:
        raise MachineError(_unreachable(repo, kind, tr("the hub cannot be reached"))) from error
    except errors.EntryNotFoundError as error:
        raise _not_found(repo, kind, tr("The repository holds no {name}.", name=name)) from error
    except errors.HFValidationError as error:
        raise _not_found(repo, kind, tr("It is not a valid hub id (owner/name).")) from error
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
        raise MachineError(
            _unreachable(repo, kind, tr("the hub cannot be reached ({kind})", kind=type(error).__name__))
        ) from error
    except Exception as error:
        # The HTTP library under huggingface_hub has changed twice; its errors share no base with ours.
        if not type(error).__module__.startswith(("httpx", "requests", "httpcore", "urllib3")):
            raise
        raise MachineError(_unreachable(repo, kind, tr("the hub cannot be reached"))) from error


def _within(request: Callable[[], T], seconds: float) -> T:
    """The request's answer, or TimeoutError: name look-up has no time limit of its own."""
    answer: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(request())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread below
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not answer:
        raise TimeoutError(tr("no answer within {seconds:.0f} seconds", seconds=seconds))
    return answer[0]


def _not_found(repo: str, kind: Kind, why: str) -> InputError:
    what = tr("no {kind} '{repo}' on the hub", kind=kind, repo=repo)
    return InputError(
        Problem(what=what, why=why, fix=_or_catalog(tr("Check the spelling."), repo, kind), where=_flag(kind))
    )


def _unreachable(repo: str, kind: Kind, why: str) -> Problem:
    if kind == "model":
        fix = tr("Give a local folder with --model FOLDER (its config.json is enough to be advised).")
    else:
        fix = tr("Name a local file or folder instead.")
    what = tr("cannot read the {kind} '{repo}'", kind=kind, repo=repo)
    return Problem(what=what, why=f"{why}.", fix=_or_catalog(fix, repo, kind), where=_flag(kind))


def _flag(kind: Kind) -> str:
    return "--model" if kind == "model" else "--dataset"


def _or_catalog(fix: str, repo: str, kind: Kind) -> str:
    close = near_names(repo) if kind == "model" else []
    return (
        tr("{fix} Catalogue models with similar names need no network: {close}.", fix=fix, close=", ".join(close))
        if close
        else fix
    )
