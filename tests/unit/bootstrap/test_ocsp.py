"""Responders of the settings: about whose certificates each is asked, and how."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.application.leading import undisputed
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.ocsp import responders_to_ask
from hub.config import ConfigInvalid, OcspSetting, Settings
from tests.support.timestamping import DAY, issue

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ONE, OTHER, STRANGER = (
    issue(name, NOW - DAY, NOW + DAY, ca=True) for name in ("one", "other", "stranger")
)


def asked(folder: Path, **setting: object):
    responder = OcspSetting.model_validate(
        {"name": "ca", "url": "http://ca.example/ocsp"} | setting
    )
    settings = Settings(origin="hub.example/log", ocsp_responders=(responder,))
    (found,) = responders_to_ask(DataFolder(folder), settings, [ONE.der, OTHER.der], undisputed)
    return found


def test_it_is_asked_about_all_authorities_of_the_hub_or_those_in_its_file(tmp_path):
    (tmp_path / "one.pem").write_bytes(ONE.pem)
    assert asked(tmp_path).issuers == {ONE.der, OTHER.der}
    assert asked(tmp_path, issuers="one.pem").issuers == {ONE.der}


def test_what_may_come_out_of_a_cache_holds_no_number(tmp_path):
    assert asked(tmp_path).nonce
    assert not asked(tmp_path, method="get").nonce
    assert not asked(tmp_path, nonce=False).nonce


@pytest.mark.parametrize("content", [None, b"junk", STRANGER.pem])
def test_a_file_that_is_not_there_or_names_a_stranger_keeps_the_hub_from_starting(
    tmp_path, content
):
    if content is not None:
        (tmp_path / "issuers.pem").write_bytes(content)
    with pytest.raises(ConfigInvalid, match="OCSP responder ca"):
        asked(tmp_path, issuers="issuers.pem")
