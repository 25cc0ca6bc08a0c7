"""A fake hub with two agencies, and clients that lose no time waiting."""

from __future__ import annotations

from datetime import date

import pytest

from hub.client import AttachmentDraft, DocumentDraft, HubClient, RetryPolicy
from hub.client.testing import FakeHub

SENDER = "H29.3"
RECIPIENT = "H29.7"


class Pauses(list):
    """Every pause a client made, in seconds, none of which took any time."""

    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def pauses():
    return Pauses()


@pytest.fixture
def policy(pauses):
    return RetryPolicy(attempts_max=4, sleep=pauses.sleep, chance=lambda: 0.5)


@pytest.fixture
def fake(tmp_path):
    with FakeHub(tmp_path) as fake:
        yield fake


@pytest.fixture
def profiles(fake):
    return {code: fake.enrol(code) for code in (SENDER, RECIPIENT)}


@pytest.fixture
async def sender(profiles, policy):
    async with HubClient.open(profiles[SENDER], policy=policy) as hub:
        yield hub


@pytest.fixture
async def recipient(profiles, policy):
    async with HubClient.open(profiles[RECIPIENT], policy=policy) as hub:
        yield hub


@pytest.fixture
def letter():
    return DocumentDraft(
        number="125",
        notation="UBND-VP",
        type_name="Công văn",
        subject="V/v thử nghiệm liên thông văn bản",
        issued_on=date(2026, 11, 22),
    )


@pytest.fixture
def attachments():
    return [
        AttachmentDraft.from_bytes("công văn.pdf", b"%PDF-1.7 " + bytes(range(256)) * 1000),
        AttachmentDraft.from_bytes("phụ lục.txt", b""),
    ]
