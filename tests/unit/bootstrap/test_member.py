"""What a hub makes of what it hears of the others."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.storage.engine import Database
from hub.application.ports import Seen
from hub.bootstrap import member as module
from hub.bootstrap.member import Member
from hub.errors import LedgerMismatch

NOTHING = Seen(
    next_position=7, registry_version=3, size=7, views=7, epoch=1, alone=False,
    frozen=None, frozen_position=None,
)  # fmt: skip


@dataclass
class World:
    """Everything that a member has to do with, as one."""

    size: int = 7
    leads: bool = False
    signed: int | None = None
    asked: int = 0
    frozen: LedgerMismatch | None = None
    oldest_s: float = 0.0
    saw: list[Any] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def last(self) -> Any:
        """What the signer remembers."""
        self.asked += 1
        return None if self.signed is None else SimpleNamespace(size=self.signed)

    def look(self) -> Seen | None:
        seen = self.saw.pop(0)
        if isinstance(seen, Exception):
            raise seen
        if seen is not None:
            self.size = seen.size
        return seen

    def take(self) -> bool:
        self.leads = True
        return True

    def freeze(self, mismatch: LedgerMismatch) -> None:
        self.frozen = mismatch

    def repeat(self) -> None:
        self.told.append("repeated")

    def notice(self, position: int) -> None:
        self.told.append(f"log ends at {position}")

    def nudge(self) -> None:
        self.told.append("nudged")

    def published(self) -> None:
        self.told.append("published")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def member(world: World, tmp_path: Path) -> Any:
    one: Any = world
    with closing(Database(f"sqlite:///{tmp_path}/any.db")) as database:
        member = Member(
            one, one, database, engine=one, lane=one, covering=one, receipts=one, signer=one,
            followed=lambda: world.told.append("lists moved"),
        )  # fmt: skip
        yield member
        member.stop()


async def heard(member: Member, world: World, seen: Any) -> list[str]:
    """What it does about what it sees."""
    world.told.clear()
    world.saw.append(seen)
    member.look()
    await asyncio.sleep(0)
    return world.told[1:]  # After having told what could not be told before.


async def test_what_the_leader_has_done_is_passed_on_once(member: Member, world: World):
    assert await heard(member, world, NOTHING) == ["log ends at 7", "lists moved", "nudged"]
    appended = replace(NOTHING, next_position=9)
    assert await heard(member, world, appended) == ["log ends at 9", "nudged"]
    covered = replace(appended, size=9)
    assert await heard(member, world, covered) == [
        "log ends at 9", "published", "lists moved", "nudged",
    ]  # fmt: skip
    listed = replace(covered, views=9)
    assert await heard(member, world, listed) == ["log ends at 9", "lists moved", "nudged"]
    assert await heard(member, world, None) == []


async def test_the_leader_only_goes_on_with_what_others_appended(member: Member, world: World):
    world.leads = True
    assert await heard(member, world, replace(NOTHING, size=9)) == ["log ends at 7", "nudged"]


async def test_what_one_hub_has_stopped_stops_here_too(member: Member, world: World):
    await heard(member, world, replace(NOTHING, frozen="event 5 differs", frozen_position=5))
    assert world.frozen is not None
    assert (str(world.frozen), world.frozen.position) == ("event 5 differs", 5)


async def test_a_contradiction_that_is_found_here_stops_and_is_kept(member: Member, world: World):
    first = LedgerMismatch("not ours")
    await heard(member, world, first)
    await heard(member, world, LedgerMismatch("another"))
    assert world.frozen is first


async def test_a_hub_whose_signer_remembers_less_than_is_published_does_not_lead(
    member: Member, world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "BEAT_S", 0.001)

    taken = asyncio.Event()

    async def take_over() -> None:
        taken.set()

    leading = asyncio.create_task(member.lead_when_possible(take_over))
    for signed in (None, 6):
        world.signed, before = signed, world.asked
        while world.asked < before + 3:  # noqa: ASYNC110 - a thread asks.
            await asyncio.sleep(0)
        assert not world.leads
    world.signed = 7
    await leading
    assert taken.is_set()


async def test_a_hub_is_not_well_while_its_callers_wait_or_it_hears_nothing(
    member: Member, world: World, monkeypatch: pytest.MonkeyPatch
):
    assert member.is_well
    world.oldest_s = 6.0
    assert not member.is_well
    world.oldest_s = 0.0
    monkeypatch.setattr(module, "_SEEN_LATE_S", 0.0)
    assert not member.is_well
