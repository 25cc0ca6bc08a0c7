"""A client follows the trusted root from the edition it holds, and no further than it is signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hub.client.errors import HubUnreachable, StateDamaged
from hub.client.roots import ASK_EVERY, RootBook, RootFollower, sign_edition
from hub.errors import VerificationFailed
from hub.proof.succession import read_trusted_root
from keys.file import private_key_pem
from tests.unit.proof.test_succession import AT, FIRST, SECOND, holder, signed

THIRD = replace(SECOND, version=3)
EDITIONS = {2: signed(SECOND, "an", "binh"), 3: signed(THIRD, "an", "chi")}


class Hub:
    """Serves editions, and counts how often it is asked."""

    def __init__(self, *editions: int, at_once: int = 10) -> None:
        self.served = {number: EDITIONS[number] for number in editions}
        self.at_once = at_once
        self.asked: list[int] = []
        self.is_away = False

    async def __call__(self, after: int) -> Sequence[bytes]:
        self.asked.append(after)
        if self.is_away:
            raise HubUnreachable("away")
        return [self.served[n] for n in sorted(self.served) if n > after][: self.at_once]


class Clock:
    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> datetime:
        return self.at


def follower(folder: Path, hub: Hub, clock: Clock | None = None) -> RootFollower:
    return RootFollower(RootBook(folder, FIRST), hub, clock or Clock())


def kept_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("at_once", [1, 10])
async def test_all_editions_are_followed_and_kept(tmp_path: Path, at_once: int):
    hub = Hub(2, 3, at_once=at_once)
    assert await follower(tmp_path, hub).current() == THIRD
    assert kept_in(tmp_path) == {"2.json", "3.json"}

    # The next start needs no hub for it, and tells the hub where it is.
    hub.asked.clear()
    assert await follower(tmp_path, hub).current() == THIRD
    assert hub.asked == [3]


async def test_a_hub_is_asked_now_and_then(tmp_path: Path):
    hub, clock = Hub(), Clock()
    roots = follower(tmp_path, hub, clock)
    for _ in range(3):
        await roots.current()
    assert hub.asked == [1]
    clock.at += ASK_EVERY + timedelta(seconds=1)
    hub.served = {2: EDITIONS[2]}
    assert await roots.current() == SECOND
    assert hub.asked == [1, 1, 2]


async def test_a_hub_that_is_away_is_asked_next_time(tmp_path: Path):
    hub = Hub(2)
    hub.is_away = True
    roots = follower(tmp_path, hub)
    assert await roots.current() == FIRST
    hub.is_away = False
    assert await roots.current() == SECOND


async def test_an_edition_that_does_not_follow_is_refused_and_not_kept(tmp_path: Path):
    hub = Hub()
    for data in (signed(SECOND, "an"), EDITIONS[3], b"nonsense"):
        hub.served = {2: data}
        with pytest.raises(VerificationFailed) as refusal:
            await follower(tmp_path, hub).current()
        assert refusal.value.step == "trust"
        assert kept_in(tmp_path) == set()


async def test_a_hub_that_keeps_back_what_is_new_is_found_out_when_the_newest_ends(tmp_path: Path):
    clock = Clock()
    clock.at = datetime(2031, 1, 2, tzinfo=AT.tzinfo)
    with pytest.raises(VerificationFailed, match="no later one was shown"):
        await follower(tmp_path, Hub(2), clock).current()


async def test_nothing_is_asked_where_nothing_could_follow(tmp_path: Path):
    hub = Hub(2)
    plain = replace(FIRST, root_keys=None)
    roots = RootFollower(RootBook(tmp_path, plain), hub, Clock())
    assert await roots.current() == plain
    assert hub.asked == []


def test_a_kept_edition_that_was_changed_is_damage(tmp_path: Path):
    (tmp_path / "2.json").write_bytes(EDITIONS[2].replace(b'"payload": "e', b'"payload": "f'))
    with pytest.raises(StateDamaged, match=r"2\.json"):
        RootBook(tmp_path, FIRST)


def test_holders_sign_one_after_the_other():
    data = SECOND.format()
    for name in ("an", "binh", "an"):
        data = sign_edition(data, private_key_pem(holder(name))).format()
    assert read_trusted_root(data) == SECOND


def test_only_a_root_key_signs():
    with pytest.raises(VerificationFailed, match="no root key of this edition"):
        sign_edition(SECOND.format(), private_key_pem(holder("stranger")))
    with pytest.raises(VerificationFailed, match="no private key"):
        sign_edition(SECOND.format(), b"nonsense")
    # One whose key is only in the edition before, as its root keys change.
    gone = replace(SECOND, root_keys=replace(FIRST.root_keys, keys=FIRST.root_keys.keys[1:]))
    signed_by = sign_edition(gone.format(), private_key_pem(holder("an")), FIRST).signatures
    assert [each.key.name for each in signed_by] == ["root/an"]
