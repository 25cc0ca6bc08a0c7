"""What goes wrong is said in one sentence, with its reason and what to do."""

from __future__ import annotations

from importlib import import_module

import pytest

from hub.cli.errors import FAILURES, REFUSALS, CommandFailed, explain, show
from hub.cli.messages import Language, speak
from hub.client.errors import ClientError, ForkDetected, HubUnreachable, InboxGap, ProfileInvalid
from hub.errors import (
    LedgerMismatch,
    RecipientUnknown,
    StatementMalformed,
    VerificationFailed,
    hub_errors,
)

# Where the classes of the table are; the command itself must not load most of these.
HOMES = (
    "hub.errors",
    "hub.cli.log_source",
    "hub.client.errors",
    "hub.config",
    "hub.bootstrap.folder",
    "hub.bootstrap.leading",
    "hub.bootstrap.founding",
    "keys.age",
    "keys.file",
    "keys.last_signed",
    "keys.custody",
    "keys.link",
    "keys.pkcs11",
    "keys.remote_signer",
    "hub.witness.state",
)


def test_every_refusal_of_the_hub_has_words():
    assert set(REFUSALS) == set(hub_errors())


def test_every_failure_in_the_table_is_a_class():
    known = {name for home in HOMES for name in vars(import_module(home))}
    assert set(FAILURES) <= known


def test_every_failure_of_a_client_has_words():
    assert {kind.__name__ for kind in ClientError.__subclasses__()} <= set(FAILURES)


def test_reasons_are_stable_and_told_apart():
    reasons = [reason for reason, _sentence, _advice in FAILURES.values()]
    assert len({*reasons, *REFUSALS}) == len(reasons) + len(REFUSALS)


def test_a_refusal_says_what_the_hub_said(capsys: pytest.CaptureFixture[str]):
    show_error(RecipientUnknown("not registered at this hub: H29.9", recipients="H29.9"))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "Error: Some recipients are not registered with this hub; nothing was sent to anyone."
        " [RECIPIENT_UNKNOWN]",
        "  In detail: not registered at this hub: H29.9",
        "  What to do: Correct the codes that are named and send again.",
    ]


def test_a_clerk_reads_vietnamese(capsys: pytest.CaptureFixture[str]):
    speak(Language.VI)
    show_error(RecipientUnknown("not registered at this hub: H29.9", recipients="H29.9"))
    assert capsys.readouterr().err.splitlines() == [
        "Lỗi: Một số bên nhận chưa đăng ký với máy chủ này; chưa gửi gì cho ai cả."
        " [RECIPIENT_UNKNOWN]",
        "  Chi tiết: chưa đăng ký với máy chủ này: H29.9",
        "  Việc cần làm: Sửa các mã được nêu rồi gửi lại.",
    ]


def test_what_the_message_does_not_say_is_told_from_the_metadata():
    explanation = explain(StatementMalformed("must be text", field="document.subject"))
    assert explanation is not None
    assert "field: document.subject" in explanation.details


def test_a_ledger_mismatch_names_the_position():
    explanation = explain(LedgerMismatch("event 5 is missing", position=5))
    assert explanation is not None
    assert explanation.reason == "LEDGER_MISMATCH"
    assert explanation.details == (
        "event 5 is missing",
        "First event that differs: 5",
        "Procedure R3 of docs/operations.md: what is stored was changed",
    )


def test_failed_evidence_names_the_step():
    explanation = explain(VerificationFailed("the leaf does not lead to the root", step="proof"))
    assert explanation is not None
    assert explanation.reason == "VERIFICATION_FAILED"
    assert "Step that failed: proof" in explanation.details


def test_the_graver_failure_has_the_graver_words():
    gap, fork = InboxGap(after=1, found=3), ForkDetected("two", kept=b"", shown=b"")
    assert [e and e.reason for e in map(explain, (gap, fork))] == ["INBOX_GAP", "FORK_DETECTED"]


def test_an_unreachable_hub_says_that_nothing_must_be_sent_twice():
    explanation = explain(HubUnreachable("no answer", request_id="5f0c"))
    assert explanation is not None
    assert "kept under request 5f0c" in explanation.advice
    without = explain(HubUnreachable("no answer"))
    assert without is not None
    assert "kept under" not in without.advice


def test_a_missing_file_is_no_traceback():
    explanation = explain(FileNotFoundError(2, "No such file or directory", "x.pdf"))
    assert explanation is not None
    assert explanation.reason == "ENOENT"
    assert explanation.details == ("x.pdf: No such file or directory",)


def test_foreign_words_cannot_rewrite_the_terminal(capsys: pytest.CaptureFixture[str]):
    show_error(RecipientUnknown("\x1b[2J\x1b[1;1H all is well \u202e", field="\x9b2J"))
    said = capsys.readouterr().err
    assert not {"\x1b", "\x9b", "\u202e"} & set(said)


def test_a_bug_is_not_explained_away():
    assert explain(ValueError("a bug")) is None
    assert explain(type("ProfileInvalid", (Exception,), {"__module__": "elsewhere"})("x")) is None


def test_a_commands_own_failure_is_said_as_it_is():
    explanation = explain(CommandFailed("NOT_FOUND", "There is none.", "Name another."))
    assert explanation is not None
    assert (explanation.sentence, explanation.advice) == ("There is none.", "Name another.")


def test_an_invalid_profile_says_what_is_wrong_with_it():
    explanation = explain(ProfileInvalid("profile.toml lacks ca, hub"))
    assert explanation is not None
    assert explanation.details == ("profile.toml lacks ca, hub",)


def show_error(error: Exception) -> None:
    explanation = explain(error)
    assert explanation is not None
    show(explanation)
