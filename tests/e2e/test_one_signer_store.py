"""Two hubs were given one signer's store: whoever comes second signs nothing, and gives nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hub.bootstrap.folder import DataFolder
from hub.errors import LedgerMismatch
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Founded,
    check_hub_is_whole,
    raw_stub,
    refusal_of,
    serving,
    submission,
)


@pytest.fixture
def copy(founded: Founded, tmp_path: Path) -> Founded:
    """The same hub once more, over its own copy of everything but the signer."""
    root = tmp_path / "copy"
    shutil.copytree(founded.folder.root, root)
    shutil.rmtree(root / "signer")
    (root / "signer").symlink_to(founded.folder.root / "signer")
    return Founded(DataFolder(root))


async def test_the_second_hub_that_signs_is_refused_and_gives_no_receipt(
    founded: Founded, copy: Founded
):
    """Both start, as both agree with the store; from the first signature on only one does."""
    sender = founded.speakers[QUAN_1]
    requests = [submission(sender, [TAI_CHINH], [b"content"]) for _ in range(3)]
    async with (
        serving(founded) as first,
        serving(copy, check=False) as second,
        raw_stub(sender.transport, first.port) as stub,
        raw_stub(sender.transport, second.port) as other,
    ):
        answer = await stub.SubmitDocument(requests[0])
        refused = [await refusal_of(other.SubmitDocument(each)) for each in requests]
        said = {each.reason for each in refused}
        assert said <= {"RECEIPT_DELAYED", "LOG_FROZEN", "UNAVAILABLE"}
        # Asked again and again, it never gives one; and the first is not disturbed.
        assert (await refusal_of(other.SubmitDocument(requests[0]))).reason == "LOG_FROZEN"
        assert await stub.SubmitDocument(requests[0]) == answer
        for request in requests[1:]:
            await stub.SubmitDocument(request)
    with pytest.raises(LedgerMismatch):
        async with serving(copy, check=False):
            pass
    check_hub_is_whole(founded.folder.root)


async def test_a_hub_that_starts_when_another_has_signed_is_refused_at_once(
    founded: Founded, copy: Founded
):
    sender = founded.speakers[QUAN_1]
    async with serving(founded) as first, raw_stub(sender.transport, first.port) as stub:
        await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
        with pytest.raises(LedgerMismatch):
            async with serving(copy, check=False):
                pass
        await stub.SubmitDocument(submission(sender, [TAI_CHINH]))
