"""Leaks are believed: what counts, what is set aside and why, and what blocks."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.data.check import check_dataset
from advisor.data.leaks.finder import Leak, LeakFinder
from advisor.data.marked import as_series, marked
from tests.data.conftest import PRIVATE_KEY, chat, chats
from tests.data.content.examples import said

Write = Callable[..., str]


def leaks(*answers: str) -> dict[str, Leak]:
    finder = LeakFinder()
    texts = [marked(said("q", answer)) for answer in answers]
    finder.look(range(1, len(answers) + 1), texts, as_series(texts))
    return {leak.code: leak for leak in finder.finish()}


def token(claims: dict[str, object]) -> str:
    parts = [json.dumps({"alg": "HS256", "typ": "JWT"}).encode(), json.dumps(claims).encode(), bytes(range(32))]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


COUNTED = {
    "email": ["write to anna.kern@brightlane.co", "mail p.novak77@gmail.com today"],
    "phone": ["call +49 151 2360 9714", "+1 (415) 238-7719"],
    "card": ["use 4539 1488 0343 6467 today", "my card 4539148803436467 please"],
    "iban": ["to GB94 BARC 1020 1530 0934 59"],
    "ssn": ["her number is 536-22-8726"],
    "aws-access-key": ["AKIAIOSFODNN7EXAMPLQ"],
    "github-token": ["ghp_Zq7TfK2mXw9LrB4nHc8VpYd3Gs6JuE1oAi5v"],
    "private-key": [PRIVATE_KEY],
    "password-in-address": ["postgres://admin:hunter22@db.corp.io/x", "https://li:9fT-x2kq7@git.brightlane.co/a.git"],
    "json-web-token": [token({"sub": "u-77120", "name": "Anna Kern", "scope": "write"})],
}
SET_ASIDE = {
    "email": [
        "johndoe@example.com", "you@yourdomain.com", "sales@brightlane.co", "john.doe@gmail.com", "me@company.org",
        "icon@2x.png", "press-office@brightlane.co", "see www.brightlane.co, or write to a.kern@brightlane.co",
        "git@github.com:a/b.git", "someone@mycompany.io",
    ],
    "phone": ["+1 415 555 0132", "+44 7700 900123", "+1 800 238 7719", "+1 234 567 8901"],
    "card": [
        "use 4242 4242 4242 4242", "275.43397884615385", "0.4539148803436467", "card 4111-1111-1111-1111",
        "order 4539148803436467 was sent", "4539 1488 0343 6467.5 units", "id=4539148803436467",
    ],
    "iban": ["such as GB82 WEST 1234 5698 7654 32", "DE89 3704 0044 0532 0130 00"],
    "ssn": ["like 123-45-6789", "078-05-1120"],
    "aws-access-key": ["AKIAIOSFODNN7EXAMPLE"],
    "github-token": ["ghp_" + "x" * 36],
    "private-key": [
        "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----",
    ],
    "password-in-address": [
        "ftp://username:password@ftp.example.com", "postgres://app:s8Gk2@localhost:5432/x", "http://user:pass@host.com",
        "mongodb://root:%7Bpw%7D@db:27017", "https://<user>:<token>@git.brightlane.co", "redis://:x:${PW}@cache.corp.io",
    ],
    "json-web-token": [token({"sub": "1234567890", "name": "John Doe", "iat": 1516239022})],
}  # fmt: skip


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in COUNTED.items() for text in texts])
def test_what_counts(code: str, text: str) -> None:
    assert set(leaks(text)) == {code}


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in SET_ASIDE.items() for text in texts])
def test_what_is_set_aside(code: str, text: str) -> None:
    assert leaks(text) == {}


def test_a_secret_is_masked_and_its_lines_are_given() -> None:
    found = leaks("nothing", *COUNTED["github-token"], "ghp_Bq7TfK2mXw9LrB4nHc8VpYd3Gs6JuE1oAi5z")["github-token"]
    assert found.lines == [2, 3]
    assert found.shown == "'gh…' (40 characters)"


def test_a_finder_that_ends_blinds_no_other() -> None:
    first = LeakFinder()
    second = LeakFinder()
    first.finish()
    secret = marked(said("token?", "it is ghp_" + "Zq7TfK2mXw9LrB4nHc8V" + "pYd3Gs6JuE1oAi5v"))
    assert second.codes_in(secret) == {"github-token"}
    second.finish()


def test_what_was_set_aside_is_said_beside_what_counts(write: Write) -> None:
    rows = [*chats(200), chat("who?", "anna.kern@brightlane.co"), *[chat("mail?", "you@example.com")] * 3]
    verdict = check_dataset(write(rows))
    (found,) = (one for one in verdict.findings if one.code == "email")
    assert found.level == "warn"
    assert "'a…@b….co'" in found.what
    assert "3 a made-up domain" in found.why


def test_addresses_in_questions_are_shown_but_not_learnt(write: Write) -> None:
    rows = [chat(f"From anna.kern{i}@brightlane.co: number {i}?", f"it is {i}") for i in range(100)]
    (asked,) = (one for one in check_dataset(write(rows)).findings if one.code == "email")
    assert (asked.level, "0 of them where it trains" in asked.what) == ("warn", True)
    (learnt,) = (one for one in check_dataset(write(rows), loss_on="all").findings if one.code == "email")
    assert learnt.level == "block"


def test_a_handful_of_addresses_in_public_text_does_not_block(write: Write) -> None:
    rows = [
        {"text": f"Article {i} of the paper, written by reporter{i}@dailynote.net, on {i * 7}."} for i in range(7)
    ]
    rows += [{"text": f"Article {i} is about the number {i * 3} and nothing else at all."} for i in range(293)]
    verdict = check_dataset(write(rows))
    assert verdict.verdict == "caution"
    assert [one.level for one in verdict.findings if one.code == "email"] == ["warn"]


def test_allowing_one_kind_does_not_wave_the_others_through(write: Write) -> None:
    rows = [chat(f"who {i}?", f"anna{i}.kern@brightlane.co, AKIAIOSFODNN7EXAMPLQ") for i in range(60)]
    verdict = check_dataset(write(rows), allow=("email",))
    assert verdict.verdict == "blocked"
    assert [one.code for one in verdict.blocking] == ["aws-access-key"]
    assert [one.code for one in verdict.findings if one.accepted] == ["email"]
    assert verdict.allowing({"aws-access-key"}).verdict == "caution"


@settings(deadline=None)
@given(st.text(st.sampled_from("+-@.:/ 0123456789abcXYZ\n\x1e\x1f_=<>{}$")))
def test_no_text_breaks_a_detector(text: str) -> None:
    for leak in leaks(text).values():
        assert leak.rows == 1
        assert leak.shown
