"""What is asked again, how often and when; and what a failed call means."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration

from hub.client.errors import (
    ERROR_INFO_URL,
    RETRY_AFTER_S_MAX,
    RETRY_INFO_URL,
    HubUnreachable,
    UnexpectedAnswer,
    error_of,
    retry_after_s,
)
from hub.client.retry import RetryPolicy, repeat
from hub.errors import Overloaded, RecipientUnknown, hub_errors
from hub.v1.reasons_pb2 import Reason
from hub.v1.status_details_pb2 import ErrorInfo, RetryInfo, StatusDetails


def failure(code=grpc.StatusCode.UNAVAILABLE, *, reason=None, after=None, raw=None, **more):
    details = []
    if reason:
        info = ErrorInfo(**{"reason": reason, "domain": "lienthong", **more})
        details.append(Any(type_url=ERROR_INFO_URL, value=info.SerializeToString()))
    if after is not None:
        info = RetryInfo(retry_delay=Duration(seconds=after))
        details.append(Any(type_url=RETRY_INFO_URL, value=info.SerializeToString()))
    status = StatusDetails(code=code.value[0], details=details).SerializeToString()
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", status if raw is None else raw))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, "in words")


class Calls:
    """Fails with each of the given failures in turn, then answers."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.deadlines = []
        self.pauses = []

    async def __call__(self, deadline_s):
        self.deadlines.append(deadline_s)
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    async def sleep(self, seconds):
        self.pauses.append(seconds)

    def policy(self, **more):
        return RetryPolicy(**{"sleep": self.sleep, "chance": lambda: 1.0, **more})


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"])
async def test_a_broken_line_is_tried_again(code):
    calls = Calls(failure(grpc.StatusCode[code]))
    assert await repeat(calls.policy(), calls) == "answer"


@pytest.mark.parametrize("reason", ["UNAVAILABLE", "OVERLOADED", "RECEIPT_DELAYED"])
async def test_a_hub_that_asks_for_patience_gets_it(reason):
    calls = Calls(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, reason=reason))
    assert await repeat(calls.policy(), calls) == "answer"


@pytest.mark.parametrize(
    "reason", sorted(set(hub_errors()) - {"UNAVAILABLE", "OVERLOADED", "RECEIPT_DELAYED"})
)
async def test_no_refusal_is_ever_tried_again(reason):
    calls = Calls(failure(reason=reason))
    with pytest.raises(hub_errors()[reason]):
        await repeat(calls.policy(), calls)
    assert len(calls.deadlines) == 1


async def test_the_attempts_are_counted_and_each_has_a_deadline():
    calls = Calls(*[failure(reason="OVERLOADED") for _ in range(9)])
    with pytest.raises(HubUnreachable, match="3 attempts") as caught:
        await repeat(calls.policy(attempts_max=3, deadline_s=4.0), calls)
    assert isinstance(caught.value.__cause__, Overloaded)
    assert calls.deadlines == [4.0, 4.0, 4.0]
    assert len(calls.pauses) == 2


async def test_pauses_double_up_to_a_limit_and_what_the_hub_asks_is_a_floor():
    calls = Calls(*[failure(after=after) for after in (None, None, None, 10, None)])
    await repeat(calls.policy(delay_first_s=1.0, delay_max_s=4.0), calls)
    assert calls.pauses == [1.0, 2.0, 4.0, 14.0, 4.0]


def test_jitter_is_full():
    policy = RetryPolicy(delay_first_s=2.0, chance=lambda: 0.0)
    assert policy.delay_s(5) == 0.0
    assert RetryPolicy(delay_max_s=3.0, chance=lambda: 1.0).delay_s(10_000) == 3.0


def test_every_reason_of_the_contract_has_its_class_and_the_metadata_come_along():
    names = {name.removeprefix("REASON_") for name in Reason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert names == set(hub_errors())
    error = error_of(failure(reason="RECIPIENT_UNKNOWN", metadata={"self": "x", "message": "y"}))
    assert isinstance(error, RecipientUnknown)
    assert error.metadata == {"self": "x", "message": "y"}
    assert error.message == "in words"


def test_what_the_contract_does_not_know_is_an_unexpected_answer():
    assert isinstance(error_of(failure(reason="NEW_REASON")), UnexpectedAnswer)
    other = failure(grpc.StatusCode.INTERNAL, reason="OVERLOADED", domain="example.com")
    assert isinstance(error_of(other), UnexpectedAnswer)
    assert isinstance(error_of(failure(grpc.StatusCode.INTERNAL)), UnexpectedAnswer)
    assert isinstance(error_of(grpc.RpcError()), UnexpectedAnswer)


def test_details_that_cannot_be_read_are_as_none():
    assert isinstance(error_of(failure(raw=b"\xff\xff")), HubUnreachable)
    assert retry_after_s(failure(raw=b"\xff\xff")) == 0.0


def test_a_hub_cannot_ask_for_endless_patience():
    assert retry_after_s(failure(after=10**9)) == RETRY_AFTER_S_MAX
    assert retry_after_s(failure(after=-5)) == 0.0


def test_a_refusal_in_a_batch_means_what_it_means_alone():
    alone = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="OVERLOADED", after=9)
    status = StatusDetails.FromString(dict(alone.trailing_metadata())["grpc-status-details-bin"])
    assert isinstance(error_of(status), Overloaded)
    assert retry_after_s(status) == retry_after_s(alone) == 9


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (StatusDetails(), UnexpectedAnswer),
        (StatusDetails(code=999), UnexpectedAnswer),
        (StatusDetails(code=13, message="a bug"), UnexpectedAnswer),
        (StatusDetails(code=14, message="stopping"), HubUnreachable),
    ],
)
def test_a_refusal_in_a_batch_without_a_reason_is_no_refusal(status, kind):
    assert type(error_of(status)) is kind
    assert retry_after_s(status) == 0
