"""Nothing that somebody wrote, and no secret, ever stands in the hub's log."""

from __future__ import annotations

import base64
import json
import re
import signal
from typing import Any

import grpc.aio
import pytest

from hub.client import AttachmentDraft, HubClient
from hub.v1 import exchange_service_pb2 as calls
from tests.e2e.test_drain import served
from tests.e2e.test_exchange import LETTER
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    Founded,
    collection,
    digest_of,
    envelope,
    raw_stub,
    recalling,
    refusal_of,
    report,
    request_id_of,
    signed,
    submission,
)

# In the words, the content, the names, the reasons: if one of them is logged, a marker is.
MARK = "TUYỆT-MẬT-31415"
ASCII_MARK = "zz31415zz"
CONTENT = f"{MARK} {ASCII_MARK} nội dung".encode()


def marked(sender: Any, recipients: list[str]) -> calls.SubmitDocumentRequest:
    """A document whose every free word is marked."""
    payload = envelope(sender, recipients, [CONTENT])
    document = payload["document"]
    document["subject"] = f"V/v {MARK} {ASCII_MARK}"
    document["summary"] = f"{ASCII_MARK} trích yếu"
    document["signer"] = {"full_name": f"Nguyễn {MARK} {ASCII_MARK}", "position": ASCII_MARK}
    document["attachments"][0]["name"] = f"{ASCII_MARK}.pdf"
    return calls.SubmitDocumentRequest(envelope=signed(sender, payload), contents=[CONTENT])


def secrets_of(founded: Founded) -> dict[str, bytes]:
    """Every file of a key, by name."""
    root = founded.folder.root
    others = ("signer/log-key.pem", "keys/content-key")
    keys = [*root.rglob("*.key.pem"), *(root / name for name in others)]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in keys}


@pytest.fixture(params=["json", "text"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def exchange(founded: Founded, port: int) -> list[str]:
    """A whole exchange, refusals of every kind included. Request ids that must be found."""
    sender, recipient = founded.speakers[QUAN_1], founded.speakers[TAI_CHINH]
    async with raw_stub(sender.transport, port) as stub:
        message = marked(sender, [TAI_CHINH, Y_TE])
        await stub.SubmitDocument(message)
        refused = [
            marked(sender, ["H99.9"]),
            submission(recipient, [Y_TE], [CONTENT]),
            calls.SubmitDocumentRequest(envelope=signed(sender, CONTENT), contents=[CONTENT]),
        ]
        for each in refused:
            await refusal_of(stub.SubmitDocument(each))
        forged = marked(sender, [TAI_CHINH])
        forged.envelope.signature = bytes(64)
        await refusal_of(stub.SubmitDocument(forged))
        await refusal_of(stub.GetSubmission(calls.GetSubmissionRequest(request_id=ASCII_MARK)))
        await refusal_of(stub.ListSent(calls.ListSentRequest(page_token=ASCII_MARK)))
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.SubmitDocument(b"\xff" + ASCII_MARK.encode())  # type: ignore[arg-type]
    digest = digest_of(message.envelope)
    async with raw_stub(recipient.transport, port) as stub:
        await stub.CollectDocument(collection(recipient, digest))
        await stub.ReportStatus(report(recipient, digest))
    async with raw_stub(sender.transport, port) as stub:
        await stub.RequestRecall(recalling(sender, digest))
    async with HubClient.open(sender.profile(port)) as agency:
        draft = AttachmentDraft(ASCII_MARK, "text/plain", CONTENT)
        await agency.submit(LETTER, [draft], [TAI_CHINH])
    return [request_id_of(each.envelope) for each in (message, refused[0], forged)]


async def test_a_whole_exchange_leaves_no_word_and_no_secret(founded: Founded, form: str):
    phrase = f"{ASCII_MARK}-passphrase"
    settings = {
        "LIENTHONG_LOG_FORMAT": form,
        "LIENTHONG_LOG_LEVEL": "debug",
        "LIENTHONG_KEY_SECRET": phrase,
        "LIENTHONG_METRICS_LISTEN": "127.0.0.1:0",
    }
    async with served(founded, **settings) as hub:
        requests = await exchange(founded, await hub.port())
        hub.tell(signal.SIGTERM)
        status, log = await hub.ended()

    assert status == 0, log
    for request_id in requests:
        assert request_id in log
    assert_says_nothing(founded, log)


def assert_says_nothing(founded: Founded, log: str) -> None:
    plain = log.encode().decode("unicode_escape", errors="replace") + log
    for mark in (MARK, ASCII_MARK, "31415", base64.b64encode(CONTENT).decode()[:20]):
        assert mark not in plain, line_with(mark, log)
    for name, secret in secrets_of(founded).items():
        for word in re.findall(rb"[A-Za-z0-9+/=]{24,}|.{24,}", secret):
            if b"PRIVATE KEY" not in word:
                text = word.decode("latin-1")
                assert text not in log, name
                assert word.hex() not in log, name
    assert "PRIVATE KEY" not in log
    # A signature has 64 bytes at the least, a nonce 16: neither stands there in base64.
    assert not re.search(r"[A-Za-z0-9+/]{80,}={0,2}", log)


def line_with(mark: str, log: str) -> str:
    return next((line for line in log.splitlines() if mark in line), "")


async def test_each_line_of_a_call_bears_its_number_and_what_the_caller_calls_it(founded: Founded):
    async with served(founded) as hub:
        sender = founded.speakers[QUAN_1]
        message = marked(sender, ["H99.9"])
        async with raw_stub(sender.transport, await hub.port()) as stub:
            await refusal_of(stub.SubmitDocument(message))
            await stub.GetLimits(calls.GetLimitsRequest())
        hub.tell(signal.SIGTERM)
        _, log = await hub.ended()

    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    told = [line for line in lines if line["event"] == "call"]
    assert [line["outcome"] for line in told] == ["RECIPIENT_UNKNOWN", "ok"]
    assert told[0]["request_id"] == request_id_of(message.envelope)
    assert "request_id" not in told[1]
    assert len({line["call"] for line in told}) == 2
    assert all(re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", line["call"]) for line in told)
