"""A process that is killed in the middle of its commits loses nothing it reported."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder

ROOT = Path(__file__).parents[3]
ROUNDS = 5
COMMITS_SEEN = 12

# Commits without end, and reports the head after each commit.
PROGRAM = """
import sys
from adapters.storage.engine import Database
from adapters.storage.events import EventRecorder
from tests.support.commits import new_commit, new_event, new_request

log = EventRecorder(Database(sys.argv[1]))
head = log.head().next_position
while True:
    events = [new_event(state=b"%d" % (head + n)) for n in range(50)]
    requests = [new_request(str(head + n), offset=n) for n in range(50)]
    log.commit(new_commit(head, events, requests=requests))
    head += 50
    print(head, flush=True)
"""


def commit_until_killed(url: str) -> int:
    """The last head that was reported before the kill."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    reported = [process.stdout.readline() for _ in range(COMMITS_SEEN)]
    process.kill()
    # What it still reported before it died counts too.
    reported += process.stdout.read().splitlines()
    process.stdout.close()
    process.wait()
    return int(reported[-1])


def test_what_was_reported_committed_is_there_whole_after_each_kill(url: str):
    before = 0
    for _ in range(ROUNDS):
        reported = commit_until_killed(url)

        database = Database(url)
        log = EventRecorder(database)
        head = log.head().next_position
        entries = log.entries(0, head + 1)
        assert head >= max(reported, before)
        assert head % 50 == 0
        assert [(entry.position, entry.state) for entry in entries] == [
            (position, b"%d" % position) for position in range(head)
        ]
        found = log.requests([("H01", str(position)) for position in range(head + 50)])
        assert {request.position for request in found.values()} == set(range(head))
        assert found["H01", "7"].digest == sha256(b"7").digest()
        database.close()
        before = head
