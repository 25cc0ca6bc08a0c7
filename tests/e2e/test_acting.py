"""A leader that stood still asks the world nothing more, since another one does."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler

import pytest

from tests.support.hubs import Founded, HubProcess
from tests.support.patience import PATIENCE_S
from tests.support.several import Several, folder_of_another, signer_apart
from tests.support.several_load import ended_well
from tests.support.timestamping import serving

# Nothing but questions what waits: each round asks for documents, then for statuses.
AXIS = """
[axis]
endpoint = "{endpoint}"
system_id = "HUB.H29"
secrets = ["axis-secret"]
poll_every_s = 0.05
directory_every_s = 3600
"""


@pytest.fixture
def database_kind() -> str:
    return "postgres"


class Axis:
    """Says nothing useful, and one answer not before it is told to."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.holds = threading.Event()
        self.held = threading.Event()
        self.goes_on = threading.Event()

    def respond(self, handler: BaseHTTPRequestHandler, _request: bytes) -> None:
        self.came.append(handler.path)
        if self.holds.is_set() and "getReceivedEdocList" in handler.path:
            self.held.set()
            assert self.goes_on.wait(PATIENCE_S)
        handler.send_error(500)


async def test_a_leader_that_stood_still_asks_the_axis_nothing_more(founded: Founded):
    axis = Axis()
    with signer_apart(founded) as signer, serving(axis.respond) as address:
        other = folder_of_another(founded, "hub-2")
        root = founded.folder.root
        (root / "axis-secret").write_text("bi mat\n")
        with (root / "hub.toml").open("a") as settings:
            settings.write(AXIS.format(endpoint=address))
        hubs = Several([HubProcess(founded, join=True), HubProcess(other, join=True)], signer)
        async with hubs[0], hubs[1]:
            await hubs.until(lambda: len(axis.came) > 2)
            # It stops while it waits for an answer: what it would do next, it has not begun.
            axis.holds.set()
            await hubs.until(axis.held.is_set)
            epoch, came = hubs.epoch(), len(axis.came)
            hubs[0].stand_still()
            await hubs.lease_runs_out()
            await hubs.until_led_anew(epoch)
            axis.goes_on.set()
            hubs[0].go_on()
            assert await hubs[0].ended() != 0
            assert axis.came[came:] == []
            await hubs[0].start()
            await ended_well(hubs)
