"""What the settings' policy foresees for the keys that the log knows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from adapters.memory.determinism import FixedClock
from hub.application.key_ring import KeyState, RingKey
from hub.bootstrap.key_life import planned, policy_of
from hub.config import ConfigInvalid, Settings
from hub.domain.values import uuid7
from hub.proof.note import KeyType, VerifierKey

NOW = FixedClock()()


def settings(tmp_path: Path, **days: int) -> Settings:
    text = 'origin = "hub.example/log"\n' + "".join(f"{k} = {v}\n" for k, v in days.items())
    (tmp_path / "hub.toml").write_text(text)
    return Settings.load(tmp_path)


def key(number: int, state: KeyState, age_days: int) -> RingKey:
    since = NOW - timedelta(days=age_days)
    vkey = VerifierKey("hub.example/log", KeyType.ED25519, bytes([number]) * 32)
    return RingKey(vkey, uuid7(since, bytes(10)), number, None, None, None, state, since)


def test_a_young_key_leaves_time(tmp_path: Path):
    active = key(1, KeyState.ACTIVE, 0)
    (step,) = planned(policy_of(settings(tmp_path)), [active], NOW)
    assert (step.action, step.hub_key, step.remind, step.urgent) == ("announce", "", False, False)
    assert step.due == NOW + timedelta(days=730 - 30 - 60)


def test_a_step_that_comes_near_is_reminded_of(tmp_path: Path):
    policy = policy_of(settings(tmp_path, key_lifetime_days=365))
    keys = [key(1, KeyState.ACTIVE, 330), key(2, KeyState.ANNOUNCED, 60)]
    steps = planned(policy, keys, NOW)
    assert [(step.action, step.remind) for step in steps] == [("activate", True), ("retire", True)]
    assert steps[1].hub_key == keys[0].key.format()


def test_without_a_key_that_signs_it_is_urgent(tmp_path: Path):
    keys = [key(1, KeyState.COMPROMISED, 1), key(2, KeyState.ANNOUNCED, 9)]
    (step,) = planned(policy_of(settings(tmp_path)), keys, NOW)
    assert (step.action, step.urgent) == ("activate", True)


def test_lengths_that_do_not_fit_are_refused(tmp_path: Path):
    with pytest.raises(ConfigInvalid, match="key_lifetime_days"):
        policy_of(settings(tmp_path, key_lifetime_days=30))
