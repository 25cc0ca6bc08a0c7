"""What an examination goes by: caches, the log between two positions, and nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hub.errors import VerificationFailed
from hub.proof import checks as module
from hub.proof.bundle import Timestamp, Token
from hub.proof.checks import Checks, Nothing
from hub.proof.evidence import examine
from hub.proof.findings import Verdict
from hub.proof.leaf import encode_leaf
from hub.proof.trust import Closing
from tests.unit.proof.building import Case, event, plain_log, trusted_root
from tests.unit.proof.logs import MemoryLog

KEY, CERTIFICATE = "ab" * 32, "cd" * 32
NAMES = {KEY, CERTIFICATE}


def log_with(**events):
    """Nine harmless events, and these instead: e4=(topic, data)."""
    log = plain_log(9)
    for name, (topic, data) in events.items():
        log.entries[int(name[1:])] = encode_leaf(event(int(name[1:]), topic=topic, **data))
    return log


def between(log, first=2, last=8, *, under=None):
    checks = Checks(trusted_root(), log=MemoryLog(log))
    return checks.between(NAMES, first, last, under=under or log.checkpoint())


def test_a_stretch_without_revocations_proves_that_there_was_none():
    assert between(plain_log(9)).verdict is Verdict.PROVEN


@pytest.mark.parametrize("data", [{"key_id": KEY}, {"certificate": CERTIFICATE}])
def test_a_revocation_of_key_or_certificate_in_between_refutes(data):
    with pytest.raises(VerificationFailed, match="at position 4, before it was relied on"):
        between(log_with(e4=("hub.Agency.CertificateRevoked", data)))


@pytest.mark.parametrize("position", [2, 8])
def test_a_revocation_before_or_after_says_nothing(position):
    log = log_with(**{f"e{position}": ("hub.Agency.CertificateRevoked", {"key_id": KEY})})
    assert between(log).verdict is Verdict.PROVEN


def test_a_revocation_of_another_key_says_nothing():
    log = log_with(e4=("hub.Agency.CertificateRevoked", {"key_id": "ef" * 32}))
    assert between(log).verdict is Verdict.PROVEN


@pytest.mark.parametrize("topic", ["hub.Agency.KeyGivenUp", "hub.Custody.KeyLost"])
def test_an_event_of_a_later_version_that_names_the_key_is_not_passed_over(topic):
    found = between(log_with(e4=(topic, {"anything": [{"deep": KEY}]})))
    assert found.verdict is Verdict.NOT_CHECKED
    assert "position 4" in found.text
    assert between(log_with(e4=(topic, {"other": "ef" * 32}))).verdict is Verdict.PROVEN


def test_a_topic_inside_other_data_does_not_hide_an_event():
    hidden = {
        "key_id": KEY,
        "z": '"topic":"hub.Log.LogOpened"',
        "zz": {"topic": "hub.Log.LogOpened"},
    }
    with pytest.raises(VerificationFailed):
        between(log_with(e4=("hub.Agency.CertificateRevoked", hidden)))


def test_each_entry_is_read_once_whatever_is_asked():
    log = MemoryLog(plain_log(11))
    checks = Checks(trusted_root(), log=log)
    for first, last in [(5, 7), (5, 7), (2, 6), (4, 9), (2, 10), (3, 4)]:
        found = checks.between(NAMES, first, last, under=plain_log().checkpoint())
        assert found.verdict is Verdict.PROVEN
    assert sorted(log.read) == list(range(2, 10))


def test_a_log_that_ends_before_the_fact_leaves_it_open():
    found = between(plain_log(6), under=plain_log(9).checkpoint())
    assert found.verdict is Verdict.NOT_CHECKED
    assert "ends at size 6" in found.text


def test_another_log_says_nothing_of_this_one():
    other = replace(plain_log(9).checkpoint(), origin="other.example/log", root=b"o" * 32)
    found = between(plain_log(9), under=other)
    assert found.verdict is Verdict.NOT_CHECKED
    assert "is another one" in found.text


def test_a_log_that_goes_on_from_another_one_shows_what_the_other_had():
    former = replace(plain_log(9).checkpoint(), origin="former.example/log")
    assert between(plain_log(12), under=former).verdict is Verdict.PROVEN


def test_a_log_from_which_the_revocation_was_taken_out_is_refuted():
    signed = log_with(e4=("hub.Agency.CertificateRevoked", {"key_id": KEY})).checkpoint()
    with pytest.raises(VerificationFailed, match="another tree of size 9"):
        between(plain_log(9), under=signed)


def test_without_a_log_it_is_not_checked():
    found = Checks(trusted_root()).between(NAMES, 2, 8, under=plain_log(9).checkpoint())
    assert found.verdict is Verdict.NOT_CHECKED
    assert "no log was read" in found.text


def test_a_receipt_with_the_log_is_proven_but_for_the_certificate():
    case = Case()
    checks = Checks(trusted_root(), log=MemoryLog(case.log()))
    items = examine(case.file().format(), checks).items
    assert [item.step for item in items if item.verdict is Verdict.NOT_CHECKED] == [8, 9]
    assert len(items) == 11


def test_a_receipt_of_a_rewritten_log_is_refuted_by_it():
    other = log_with(e4=("hub.Group.GroupChanged", {}))
    checks = Checks(trusted_root(), log=MemoryLog(other))
    assert examine(Case().file().format(), checks).verdict is Verdict.REFUTED


def test_the_log_stands_in_for_the_proof_that_a_closed_key_asks_for():
    case = Case()
    log = case.log()
    closed = trusted_root(closed=Closing(9, log.checkpoint(9).root))
    file = case.file()
    earlier = type(file)(log.receipt(5, size=7), file.statement)
    assert examine(earlier.format(), closed).verdict is Verdict.NOT_CHECKED
    assert examine(earlier.format(), Checks(closed, log=MemoryLog(log))).verdict is Verdict.PROVEN


def test_nothing_is_at_hand_unless_it_is_brought():
    at = [datetime(2026, 11, 22, tzinfo=UTC)]
    [stamped] = Nothing().timestamp(b"", Timestamp(Token("TSA", b"")))
    opinions = [
        Nothing().chain(b"", issuers=(), at=at),
        Nothing().revocation(b"", issuers=(), stored=(), at=at),
        stamped,
    ]
    assert [opinion.verdict for opinion in opinions] == [Verdict.NOT_CHECKED] * 3


def test_what_is_remembered_is_made_once_and_bounded(monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED_MAX", 3)
    checks, made = Checks(trusted_root()), []

    def make(name):
        return checks.remembered(name, lambda: made.append(name) or name)

    for name in "aabacad":
        assert make(name) == name
    assert made == ["a", "b", "c", "d"]
    make("b")
    assert made[-1] == "b"


def test_a_failure_is_not_remembered():
    checks = Checks(trusted_root())
    stranger = plain_log().receipt(3).proof
    for _ in range(2):
        with pytest.raises(VerificationFailed):
            checks.open_checkpoint(stranger)
