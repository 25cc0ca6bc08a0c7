"""A command that is repeated after it broke off says the same thing once, not twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hub.cli.said import said_before
from hub.proof.dsse import SignedStatement
from hub.proof.statements import Recall, RecallAnswer, encode_payload


def accepted(media_type: str, **members: object) -> Any:
    payload = encode_payload({"request_id": "1", **members})
    return SimpleNamespace(statement=SignedStatement(media_type, payload, "", b""))


EARLIER = [
    SimpleNamespace(statement=None),
    accepted(Recall.MEDIA_TYPE, envelope_digest="aa", reason="Gửi nhầm"),
    accepted(RecallAnswer.MEDIA_TYPE, envelope_digest="bb", code="16", reason="Đã xử lý"),
]


@pytest.mark.parametrize(
    ("media_type", "members", "which"),
    [
        (Recall.MEDIA_TYPE, {"envelope_digest": "aa"}, 1),
        (Recall.MEDIA_TYPE, {"envelope_digest": "bb"}, None),
        (RecallAnswer.MEDIA_TYPE, {"envelope_digest": "aa", "code": "16"}, None),
        (RecallAnswer.MEDIA_TYPE, {"envelope_digest": "bb", "code": "16"}, 2),
        (RecallAnswer.MEDIA_TYPE, {"envelope_digest": "bb", "code": "15"}, None),
        # What is left out was not said.
        (Recall.MEDIA_TYPE, {"envelope_digest": "aa", "expires_at": None}, 1),
    ],
)
def test_the_same_intention_is_found(media_type, members, which):
    found = said_before(EARLIER, media_type, **members)
    assert found is (None if which is None else EARLIER[which])
