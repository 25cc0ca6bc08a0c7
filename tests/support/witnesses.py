"""Logs to watch, witnesses that watch them, and witnesses that serve on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hub.http_serving import bind
from hub.proof.merkle import leaf_hash
from hub.proof.note import VerifierKey, parse_note
from hub.proof.witnessing import AddCheckpoint
from hub.witness.server import application, serving
from hub.witness.state import WitnessState, open_state
from hub.witness.witness import Answer, Witness, system_clock
from tests.unit.proof.building import LOG, Signer, SmallLog, consistency_path, plain_log


def asking(
    log: SmallLog, old_size: int, new_size: int, *signers: Signer, proof: Sequence[bytes] = ()
) -> AddCheckpoint:
    """A request to go on from one size of a log to another, with the right proof."""
    hashes = [leaf_hash(entry) for entry in log.entries[:new_size]]
    if not proof and 0 < old_size < new_size:
        proof = consistency_path(hashes, old_size)
    note = log.signed_checkpoint(*(signers or (LOG,)), size=new_size)
    return AddCheckpoint(old_size, tuple(proof), note)


def forked_log(size: int, at: int) -> SmallLog:
    """The same log with another entry at one position: a history rewritten."""
    log = plain_log(size)
    log.entries[at] = log.entries[at].replace(b'"schema":1', b'"schema":2')
    return log


def names_on(note: bytes) -> list[str]:
    """Who is named below a note, in order."""
    return [line.name for line in parse_note(note).signatures]


@dataclass
class Served:
    """A witness that serves on this machine, and what it answered."""

    url: str
    key: VerifierKey
    state: WitnessState
    answers: list[Answer]

    @property
    def setting(self) -> dict[str, str]:
        """As it stands in a hub's settings."""
        return {"vkey": self.key.format(), "url": self.url}


@asynccontextmanager
async def served_witness(
    folder: Path, name: str, logs: Sequence[VerifierKey], *, listen: str = "127.0.0.1:0"
) -> AsyncIterator[Served]:
    """A witness in a folder, made there if there is none; stopped at the end of the block."""
    _make(folder, name)
    answers: list[Answer] = []
    with open_state(folder) as state:
        app = application(Witness(state, logs, system_clock), answers.append)
        async with serving(app, bind(listen)) as port:
            yield Served(f"http://127.0.0.1:{port}", state.verifier_key, state, answers)


def _make(folder: Path, name: str) -> None:
    if not folder.exists():
        WitnessState.create(folder, name)
