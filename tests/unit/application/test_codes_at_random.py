"""Codes, successions and suspensions at random, against a model that fits on a page."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from hub.application.agencies import RegisterAgency
from hub.application.agency_changes import (
    ReinstateAgency,
    RenameAgency,
    SucceedAgency,
    SuspendAgency,
)
from hub.errors import HubError
from hub.ledger.batch import load_registry
from hub.proof.leaf import parse_leaf
from tests.support.builders import (
    OPERATOR,
    SENDER,
    MemoryHub,
    Party,
    check_whole,
    new_hub,
    new_request_id,
)

STEPS = 250
CODES = [f"A.{n}" for n in range(12)]


@dataclass
class Model:
    """What a careful clerk would keep on paper."""

    owner: dict[str, str] = field(default_factory=dict)  # every code → primary code
    successor: dict[str, str] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)

    def receiver(self, code: str) -> str | None:
        agency = self.owner.get(code)
        seen: set[str] = set()
        while agency in self.successor:
            assert agency not in seen, "a ring"
            seen.add(agency)
            agency = self.successor[agency]
        return agency

    def represented(self, agency: str) -> set[str]:
        primary = set(self.owner.values())
        return {one for one in primary if agency in self.chain(one)}

    def chain(self, agency: str) -> list[str]:
        found = [agency]
        while found[-1] in self.successor:
            found.append(self.successor[found[-1]])
        return found


def step(chance: random.Random, hub: MemoryHub, model: Model) -> None:
    """One command, and what the model says must come of it."""
    code, other = chance.choice(CODES), chance.choice(CODES)
    request_id = new_request_id()
    kind = chance.choice(["register", "add", "remove", "suspend", "reinstate", "succeed"])
    primary = set(model.owner.values())
    match kind:
        case "register":
            command = RegisterAgency(OPERATOR, request_id, code, "x", (other,))
            allowed = code != other and code not in model.owner and other not in model.owner
            change = lambda: model.owner.update({code: code, other: code})  # noqa: E731
        case "add":
            command = RenameAgency(OPERATOR, request_id, code, "", (other,), ())
            allowed = code in primary and other not in model.owner
            change = lambda: model.owner.update({other: code})  # noqa: E731
        case "remove":
            command = RenameAgency(OPERATOR, request_id, code, "", (), (other,))
            allowed = code in primary and other != code and model.owner.get(other) == code
            change = lambda: model.owner.pop(other)  # noqa: E731
        case "suspend":
            command = SuspendAgency(OPERATOR, request_id, code, "by-order")
            allowed = code in primary and code not in model.suspended
            change = lambda: model.suspended.add(code)  # noqa: E731
        case "reinstate":
            command = ReinstateAgency(OPERATOR, request_id, code)
            allowed = code in model.suspended
            change = lambda: model.suspended.remove(code)  # noqa: E731
        case _:
            command = SucceedAgency(OPERATOR, request_id, code, other)
            allowed = {code, other} <= primary - model.successor.keys() and code != other
            change = lambda: model.successor.update({code: other})  # noqa: E731
    (outcome,) = hub.process(command)
    assert isinstance(outcome, HubError) != allowed, (command, outcome)
    if allowed:
        change()


def require_agreement(hub: MemoryHub, model: Model) -> None:
    registry = hub.engine.registry
    for code in CODES:
        owner, receiver = registry.owner(code), registry.receiver(code)
        assert (owner and owner.code) == model.owner.get(code)
        assert (receiver and receiver.code) == model.receiver(code)
    for agency in set(model.owner.values()):
        assert registry.represented(agency) == model.represented(agency)
        assert registry.agencies[agency].suspended == (agency in model.suspended)


def submit_to(chance: random.Random, hub: MemoryHub, model: Model) -> None:
    """A document to some codes: it goes where the model says, or to nobody."""
    codes = chance.sample(CODES, chance.randint(1, 3))
    receivers = [model.receiver(code) for code in codes]
    possible = (
        None not in receivers
        and len(set(receivers)) == len(receivers)
        and model.suspended.isdisjoint(receivers)
    )
    envelope = Party(SENDER).envelope(*codes)
    if not possible:
        with pytest.raises(HubError):
            hub.submit(SENDER, envelope)
        return
    recorded = hub.submit(SENDER, envelope)
    consigned = parse_leaf(recorded.receipt.leaf).data["recipients"]
    assert [one["agency"] for one in consigned] == receivers
    assert [one.get("addressed", one["agency"]) for one in consigned] == codes


@pytest.mark.parametrize("seed", range(8))
def test_codes_lead_where_the_history_says(seed):
    chance, hub, model = random.Random(seed), new_hub(), Model()
    for _ in range(STEPS):
        step(chance, hub, model)
        require_agreement(hub, model)
        if chance.random() < 0.3:
            submit_to(chance, hub, model)
    assert model.successor, "the chances of this seed are poor"
    assert load_registry(hub.log) == hub.engine.registry
    check_whole(hub)
