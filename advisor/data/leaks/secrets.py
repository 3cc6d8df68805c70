"""Keys, tokens and passwords, found by detect-secrets in the lines that look suspect."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext

from advisor.base.language import tr
from advisor.data.leaks.trace import HARMLESS, PLACEHOLDER, Detector, Trace, is_placeholder_domain, masked

# What a row has to hold to be given to detect-secrets; each line belongs to some of its detectors.
# Few enough in each, and each with letters of its own at its head: Rust's regex then jumps from place to place.
_HINTS = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{8}|A3T[A-Z0-9]{9}|gh[pousr]_[A-Za-z0-9]|github_pat_|glpat-|npm_[A-Za-z0-9]|"
    r"pypi-AgE",
    r"sk-[A-Za-z0-9]|[sr]k_live_|xox[abposr]-|SG\.[A-Za-z0-9_-]|AIza|AC[a-z0-9]{32}|SK[a-z0-9]{32}",
    r"eyJ[A-Za-z0-9_-]{10}|-----BEGIN|://[^/\s:@]{1,256}:[^/\s:@]{1,256}@|AccountKey=|-us[0-9]",
    r":[A-Za-z0-9_-]{35}",
    r"hf_[A-Za-z0-9]{30}",
)
_HINT = re.compile("|".join(_HINTS))
_PLUGINS = (
    "ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector",
    "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector",
    "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector",
    "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
"""Those that know a token's form. The guesses by entropy and by keyword find a "secret" in every third chat."""
_CODES = {"Basic Auth Credentials": "password-in-address", "NPM tokens": "npm-token"}
CODES = (
    "artifactory-credentials", "aws-access-key", "azure-storage-account-access-key", "password-in-address",
    "cloudant-credentials", "discord-bot-token", "github-token", "gitlab-token", "google-api-key",
    "hugging-face-token", "json-web-token", "mailchimp-access-key", "model-api-key", "npm-token", "openai-token",
    "private-key", "pypi-token", "sendgrid-api-key", "slack-token", "square-oauth-secret", "stripe-access-key",
    "telegram-bot-token", "twilio-api-key",
)  # fmt: skip
"""Names of the findings, by name."""

_UNKNOWN_TO_IT = {
    "Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "GitHub Token": re.compile(r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    "Slack Token": re.compile(r"\bxox[abposr]-(?:\d+-)+[A-Za-z0-9]{16,}"),
    "Model API key": re.compile(r"\bsk-(?:proj|svcacct|admin|ant|or)-[A-Za-z0-9_-]{32,}"),
    "Google API key": re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b"),
}
"""Forms that detect-secrets has no detector for, or knows in an older spelling only."""
_TOKEN = re.compile(r"[\w+/=.~-]+")
_ADDRESS = re.compile(r"://([^/\s:@]+):([^/\s:@]+)@([\w.-]*)")
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=]{16,}")
_KEY_CHARACTERS = 128
"""Less behind a key's header is the header alone, or a few lines to show its form."""
_FEW_CHARACTERS = 8


def secrets_in(text: str) -> list[Trace]:
    """The keys and tokens of one text; [] at once where nothing looks like one. Placeholders do not count."""
    if not _HINT.search(text):
        return []
    with ExitStack() as resources:
        return [trace for trace in secret_detector(resources).find(text) if not trace.harmless]


def secret_detector(resources: ExitStack) -> Detector:
    """detect-secrets with its settings, undone when `resources` closes. Raises ImportError without the package."""
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import get_settings, transient_settings

    wanted = {"plugins_used": [{"name": one} for one in _PLUGINS]}
    settings = resources.enter_context(transient_settings(wanted))

    def find(text: str) -> Iterator[Trace]:
        # Its settings are the process's: another detector that ends has put back what was there before it.
        with nullcontext() if get_settings() is settings else transient_settings(wanted):
            found = list(search(text))
        yield from found

    def search(text: str) -> Iterator[Trace]:
        at = 0
        # detect-secrets takes half a millisecond a line.
        for line in text.split("\n"):
            if _HINT.search(line):
                for found in scan_line(line):
                    yield _trace(str(found.type), str(found.secret_value or ""), line, text, at)
                for kind, pattern in _UNKNOWN_TO_IT.items():
                    for token in pattern.findall(line):
                        yield _trace(kind, token, line, text, at)
            at += len(line) + 1

    return Detector(_HINTS, find)


def _trace(kind: str, value: str, line: str, text: str, at: int) -> Trace:
    """What detect-secrets found in the line that begins at `at`."""
    code, place = code_of(kind), max(0, line.find(value))
    # Some of its patterns give the head of a token alone, such as ghp.
    token = _TOKEN.match(line, place) if code not in ("password-in-address", "private-key") else None
    value = token.group() if token else value
    return Trace(
        code=code,
        name=tr("password in an address") if code == "password-in-address" else kind,
        place=at + place,
        shown=masked(value),
        is_secret=True,
        harmless=harmless(code, value, line, text[at + place :]),
    )


def code_of(kind: str) -> str:
    """The name of a finding for a kind of detect-secrets."""
    return _CODES.get(kind) or kind.lower().replace(" ", "-")


def harmless(code: str, value: str, line: str, rest: str) -> str:
    """Why a value of this kind is no secret, or an empty text. `rest` is the text from the value on."""
    if code == "password-in-address":
        return _harmless_address(value, line)
    if code == "private-key":
        body = "".join(_KEY_BODY.findall(rest.partition("-----END")[0].partition("-----\n")[2]))
        return "" if len(body) >= _KEY_CHARACTERS and not PLACEHOLDER.search(body) else tr("a header without its key")
    if code == "json-web-token":
        return _harmless_token(value)
    if PLACEHOLDER.search(value) or len(set(value)) < _FEW_CHARACTERS:
        return tr("a placeholder")
    return ""


def _harmless_address(password: str, line: str) -> str:
    for user, stated, host in _ADDRESS.findall(line):
        if stated != password:
            continue
        if stated.lower() in HARMLESS["passwords"] or stated.lower() == user.lower() or PLACEHOLDER.search(stated):
            return tr("a placeholder")
        if "." not in host or is_placeholder_domain(host) or re.match(r"127\.|0\.0\.0\.0|192\.168\.|10\.", host):
            return tr("an example or local address")
        return ""
    return tr("a placeholder")


def _harmless_token(value: str) -> str:
    """The token of a tutorial: its claims are about nobody."""
    parts = value.split(".")
    try:
        claims = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)).decode("utf-8", "replace")
    except (IndexError, binascii.Error, ValueError):
        return tr("no token")
    about_nobody = re.search(r"John Doe|1234567890|example|\"test|Jane Doe", claims, re.IGNORECASE)
    return tr("a token of documentation") if about_nobody else ""
