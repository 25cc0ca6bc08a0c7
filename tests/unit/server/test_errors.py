"""Every refusal has one reason and one status, and any client can read both."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from hub import errors
from hub.errors import HubError, hub_errors
from hub.server.errors import STATUS_OF, status_details, status_message
from hub.v1 import reasons_pb2, status_details_pb2

EVERY = sorted(STATUS_OF, key=lambda error: error.reason)
# What gRPC lets through by default, status and reason included.
TRAILERS_BYTES_MAX = 8 * 1024


def ours() -> set[type[HubError]]:
    return {error for error in HubError.__subclasses__() if error.__module__ == "hub.errors"}


def test_every_error_has_a_status_and_every_status_an_error():
    assert set(STATUS_OF) == ours()


def test_no_error_stands_below_another():
    assert [error for each in ours() for error in each.__subclasses__()] == []


def test_every_reason_is_another_and_is_listed_in_the_protos():
    assert len(hub_errors()) == len(ours())
    listed = {name.removeprefix("REASON_") for name, _ in reasons_pb2.Reason.items()}
    assert listed - {"UNSPECIFIED"} == {error.reason for error in ours()}


def test_reasons_are_words_in_capitals_and_classes_are_named_like_them():
    for error in EVERY:
        assert error.reason == error.reason.upper()
        assert error.reason.replace("_", "") == error.__name__.upper()
        assert error.__doc__


def test_a_status_says_whether_the_same_call_may_be_repeated():
    """Clients and proxies repeat UNAVAILABLE by themselves."""
    repeatable = {
        error.reason for error in EVERY if STATUS_OF[error] is grpc.StatusCode.UNAVAILABLE
    }

    assert repeatable == {"UNAVAILABLE", "RECEIPT_DELAYED"}
    assert not set(STATUS_OF.values()) & {
        grpc.StatusCode.OK,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
    }


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.reason)
def test_details_are_read_with_googles_messages(error):
    status = status_pb2.Status.FromString(status_details(error("Xin thử lại", code="H01")))

    info = error_details_pb2.ErrorInfo()
    assert (status.code, status.message) == (STATUS_OF[error].value[0], "Xin thử lại")
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        error.reason,
        "lienthong",
        {"code": "H01"},
    )


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.reason)
def test_details_are_read_with_our_own_mirror_of_them(error):
    details = status_details(error("no", code="H01", retry_after_ms="1500"))

    status = status_details_pb2.StatusDetails.FromString(details)

    info = status_details_pb2.ErrorInfo.FromString(status.details[0].value)
    retry = status_details_pb2.RetryInfo.FromString(status.details[1].value)
    assert (status.code, status.message) == (STATUS_OF[error].value[0], "no")
    assert (info.reason, info.domain, info.metadata["code"]) == (error.reason, "lienthong", "H01")
    assert retry.retry_delay.ToMilliseconds() == 1500


def details_of(error: HubError, kind: type) -> list:
    status = status_pb2.Status.FromString(status_details(error))
    found = []
    for packed in status.details:
        assert isinstance(packed, Any)
        message = kind()
        if packed.Unpack(message):
            found.append(message)
    return found


def test_a_bad_field_is_named_as_a_field_violation():
    error = errors.StatementMalformed("document.subject: is missing", field="document.subject")

    (bad,) = details_of(error, error_details_pb2.BadRequest)

    assert [(each.field, each.description) for each in bad.field_violations] == [
        ("document.subject", "document.subject: is missing")
    ]
    assert details_of(errors.StatementMalformed("x", field=""), error_details_pb2.BadRequest) == []


@pytest.mark.parametrize(
    ("error", "milliseconds"),
    [
        (errors.Overloaded("later", retry_after_ms="1000"), [1000]),
        (errors.ReceiptDelayed("later"), [1000]),
        (errors.Unavailable("later"), []),
        (errors.LogFrozen("no"), []),
    ],
)
def test_a_client_is_told_when_to_come_back(error, milliseconds):
    found = details_of(error, error_details_pb2.RetryInfo)

    assert [each.retry_delay.ToMilliseconds() for each in found] == milliseconds


@pytest.mark.parametrize("text", ["x" * 5000, "ộ" * 5000, "🇻🇳" * 5000])
def test_a_refusal_that_quotes_its_caller_at_length_still_travels(text):
    error = errors.StatementMalformed(text, field=text, code=text)

    details = status_details(error)

    assert len(status_message(error).encode()) + len(details) * 4 // 3 < TRAILERS_BYTES_MAX
    (info,) = details_of(error, error_details_pb2.ErrorInfo)
    assert info.reason == "STATEMENT_MALFORMED"
    assert status_message(error).endswith("…")
