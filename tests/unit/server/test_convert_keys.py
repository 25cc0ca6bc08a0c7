"""The hub's keys and the trusted root on the wire."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hub.application.trust_ends import TrustEnd
from hub.errors import RequestMalformed
from hub.server import convert_keys
from hub.v1.registry_service_pb2 import DraftTrustedRootRequest

AT = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)


def test_an_end_is_read_with_its_time():
    request = DraftTrustedRootRequest()
    request.ends.add(who="tsa").until_time.FromDatetime(AT)
    assert convert_keys.trust_ends(request.ends) == [TrustEnd("tsa", AT)]


def test_an_end_without_a_time_is_malformed():
    request = DraftTrustedRootRequest()
    request.ends.add(who="tsa")
    with pytest.raises(RequestMalformed):
        convert_keys.trust_ends(request.ends)
