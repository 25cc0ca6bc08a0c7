"""A timestamp that lost something, or got something else, is named by fsck."""

from collections.abc import Callable

import pytest

from adapters.memory.tree import MemoryTreeStore
from hub.ledger.fsck import Finding, Parts, check_everything
from tests.support.builders import ORIGIN
from tests.support.stamped import Stamped, ending, lasting
from tests.support.timestamping import DAY


def renewed() -> Stamped:
    """A hub with a timestamp and its renewal, which is the last event."""
    stamped = Stamped(ending(days=300), lasting())
    stamped.round()
    stamped.round(after=250 * DAY)
    assert stamped.obtained()[-1].data["renews"]
    return stamped


def findings(stamped: Stamped) -> list[Finding]:
    hub = stamped.hub
    stores = hub.stores
    return list(
        check_everything(
            Parts(
                origin=ORIGIN,
                keys=hub.signer.keys,
                log=hub.log,
                store=stores.tree,
                signer=hub.signer,
                content=stores.content,
                vault=hub.vault,
            )
        )
    )


def lose(name: str) -> Callable[[Stamped], None]:
    def tamper(stamped: Stamped) -> None:
        value = stamped.obtained()[-1].data[name]
        digest = value[0] if isinstance(value, list) else value
        del stamped.hub.log._tables.evidence[bytes.fromhex(digest)]

    return tamper


def exchange_a_token(stamped: Stamped) -> None:
    evidence = stamped.hub.log._tables.evidence
    tokens = [bytes.fromhex(event.data["token"]) for event in stamped.obtained()]
    evidence[tokens[-1]] = evidence[tokens[0]]


def test_a_sound_hub_with_timestamps_has_no_findings():
    assert findings(renewed()) == []


@pytest.mark.parametrize(
    "tamper", [lose("token"), lose("certificates"), lose("message"), exchange_a_token]
)
def test_evidence_that_is_gone_or_another_is_named(tamper: Callable[[Stamped], None]):
    stamped = renewed()
    last = len(stamped.hub.events()) - 1
    tamper(stamped)

    found = findings(stamped)

    assert any(each.position == last and "its evidence" in each.what for each in found), found


def test_a_checkpoint_that_a_timestamp_is_not_over_is_named(monkeypatch: pytest.MonkeyPatch):
    stamped = renewed()
    size = stamped.obtained()[0].data["size"]
    known = MemoryTreeStore.checkpoint_covering

    def other(store: MemoryTreeStore, position: int) -> tuple[int, bytes] | None:
        found = known(store, position)
        return None if found is None else (found[0], found[1] + b"- x y\n")

    monkeypatch.setattr(MemoryTreeStore, "checkpoint_covering", other)

    found = findings(stamped)

    assert any(f"checkpoint of size {size}" in each.what for each in found), found
