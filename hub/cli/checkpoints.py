"""`lienthong ledger checkpoint` and `watch`: what a log has signed, and whether it keeps to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import typer

from hub.cli.console import say, say_fields, say_json, shown
from hub.cli.errors import explain, show
from hub.cli.log_source import LogUnreachable, reading
from hub.cli.messages import _
from hub.cli.session import AnyProfileOption, JsonOption, read_profile, run
from hub.client.errors import REPEATABLE, HubUnreachable
from hub.client.ledger import LedgerClient, LogWatch
from hub.client.memory import CheckpointMemory
from hub.client.profile import ClientProfile
from hub.client.roots import RootBook
from hub.client.state import StateDirectory
from hub.proof.checkpoint import Checkpoint, OpenedCheckpoint
from hub.proof.strict import encode_base64
from hub.proof.succession import SIGNED_ROOT_BYTES_MAX, read_trusted_root
from hub.proof.tiles import LogFileMissing, Read, TiledLog, open_log
from hub.proof.trust import TrustedRoot

# What passes: nobody has been shown anything, true or false.
_LATER = (LogUnreachable, HubUnreachable, *REPEATABLE)

LogArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="LOG",
        show_default=False,
        help="An export of the log, or the address it is served at; the profile's hub if left out.",
    ),
]
TrustOption = Annotated[
    Path | None,
    typer.Option(
        metavar="ROOT",
        exists=True,
        dir_okay=False,
        help="The trusted root: the only thing believed; the profile's if left out.",
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="The authorities that may vouch for an https address; the profile's if left out.",
    ),
]


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a log is read as files, and whom to believe about it."""

    log: str
    trust: TrustedRoot
    ca: Path | None
    client: tuple[Path, Path] | None

    @classmethod
    def of(cls, log: str, profile: Path | None, trust: Path | None, ca: Path | None) -> LogPlace:
        """What the options say. Raises BadParameter where nothing says whom to believe."""
        read = read_profile(profile) if profile else None
        return cls(
            log,
            read_trust(read, trust),
            ca or (read.ca if read else None),
            (read.transport_certificate, read.transport_key) if read else None,
        )

    def newest(self) -> TiledLog:
        """The newest checkpoint, after its edge was read. Not on an event loop."""
        with self.reading() as read:
            return open_log(read, self.trust)

    def consistency(self, old_size: int, note: bytes) -> Sequence[bytes]:
        """The proof that a tree begins that of a signed checkpoint. Not on an event loop."""
        with self.reading() as read:
            opened = self.trust.open_checkpoint(note)
            return TiledLog(read, opened, note).consistency(old_size)

    @contextmanager
    def reading(self) -> Iterator[Read]:
        """How to read its files; one that is missing is a log that cannot be reached."""
        try:
            with reading(self.log, ca=self.ca, client=self.client) as read:
                yield read
        except LogFileMissing as missing:
            # A file that is not there just now proves no fork.
            raise LogUnreachable(f"{self.log}: {missing}") from missing


def read_trust(profile: ClientProfile | None, trust: Path | None) -> TrustedRoot:
    """The trusted root of an option, else of a profile."""
    if trust is not None:
        with trust.open("rb") as file:
            return read_trusted_root(file.read(SIGNED_ROOT_BYTES_MAX + 1))
    if profile is None:
        raise typer.BadParameter(_("name the trusted root with --trust, or a profile"))
    return RootBook(profile.state / "trust", profile.read_trusted_root()).newest


def checkpoint(
    log: LogArgument = None,
    *,
    profile: AnyProfileOption = None,
    trust: TrustOption = None,
    ca: CaOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write the note there too.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Get the newest checkpoint of a log, and check who signed it.

    What was signed once cannot be taken back: keep it, publish it, compare it with others.
    """
    note, opened = _newest(log, profile, trust, ca)
    if out is not None:
        out.write_bytes(note)
    _report(note, opened, json_)


def watch(
    log: LogArgument = None,
    *,
    state: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Where the largest checkpoint seen is kept; the same folder each time.",
        ),
    ],
    profile: AnyProfileOption = None,
    trust: TrustOption = None,
    ca: CaOption = None,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long to wait between two looks.")
    ] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    json_: JsonOption = False,
) -> None:
    """Follow a log's checkpoints: each must extend the largest one ever seen.

    Ends with exit status 1, and says so, when the log shows two histories, shrinks, or signs
    something that does not verify; the checkpoints that prove it are kept in the folder.
    A log that cannot be reached is tried again.
    """
    run(_watch(_source(log, profile, trust, ca), state, None if once else every, json_))


def _newest(
    log: str | None, profile: Path | None, trust: Path | None, ca: Path | None
) -> tuple[bytes, OpenedCheckpoint]:
    if log is not None:
        newest = LogPlace.of(log, profile, trust, ca).newest()
        return newest.note, newest.opened
    read = _profile(profile)
    note = run(_fetch(read))
    return note, read_trust(read, trust).open_checkpoint(note)


async def _fetch(profile: ClientProfile) -> bytes:
    async with LedgerClient.open(profile) as hub:
        return await hub.checkpoint()


def _profile(profile: Path | None) -> ClientProfile:
    if profile is None:
        raise typer.BadParameter(_("name a log, or a profile whose hub has one"))
    return read_profile(profile)


def _report(note: bytes, opened: OpenedCheckpoint, as_json: bool) -> None:
    head = opened.checkpoint
    witnesses = [each.key.name for each in opened.cosignatures]
    if as_json:
        say_json({**_members(head), "cosigned_by": witnesses, "checkpoint": note.decode()})
        return
    say(_("A key of the log signed this, by the trusted root."), style="bold green")
    fields = [
        (_("Log"), shown(head.origin)),
        (_("Entries"), str(head.size)),
        (_("Root"), encode_base64(head.root)),
    ]
    if witnesses:
        fields.append((_("Cosigned by"), shown(", ".join(witnesses))))
    say_fields(fields)


def _members(head: Checkpoint) -> dict[str, str | int]:
    return {"origin": head.origin, "size": head.size, "root": encode_base64(head.root)}


# --- Watching ------------------------------------------------------------------------------


class _Source(Protocol):
    """Where checkpoints and proofs come from."""

    trust: TrustedRoot

    async def note(self) -> bytes: ...

    async def prove(self, old_size: int, new_size: int) -> Sequence[bytes]: ...


class _Files:
    def __init__(self, place: LogPlace) -> None:
        self.trust = place.trust
        self._place = place
        self._note = b""

    async def note(self) -> bytes:
        self._note = (await asyncio.to_thread(self._place.newest)).note
        return self._note

    async def prove(self, old_size: int, new_size: int) -> Sequence[bytes]:
        # Of the checkpoint in hand: the log may have grown since.
        return await asyncio.to_thread(self._place.consistency, old_size, self._note)


class _Hub:
    def __init__(self, trust: TrustedRoot, client: LedgerClient) -> None:
        self.trust = trust
        self._client = client

    async def note(self) -> bytes:
        return await self._client.checkpoint()

    async def prove(self, old_size: int, new_size: int) -> Sequence[bytes]:
        return await self._client.consistency(old_size, new_size)


@asynccontextmanager
async def _source(
    log: str | None, profile: Path | None, trust: Path | None, ca: Path | None
) -> AsyncIterator[_Source]:
    if log is not None:
        yield _Files(LogPlace.of(log, profile, trust, ca))
        return
    read = _profile(profile)
    async with LedgerClient.open(read) as client:
        yield _Hub(read_trust(read, trust), client)


async def _watch(
    opening: AbstractAsyncContextManager[_Source], state: Path, every: float | None, as_json: bool
) -> None:
    said: Checkpoint | None = None
    following: LogWatch | None = None
    async with opening as source, AsyncExitStack() as stack:
        while True:
            try:
                note = await source.note()
                # Which log it is, the first checkpoint says; from then on it must stay that.
                following = following or stack.enter_context(_following(source, note, state))
                seen = await following.see(note)
            except _LATER as error:
                if every is None:
                    raise
                _show_and_go_on(error)
            else:
                if seen != said:
                    _say_seen(seen, as_json)
                said = seen
            if every is None:
                return
            await asyncio.sleep(every)


@contextmanager
def _following(source: _Source, note: bytes, state: Path) -> Iterator[LogWatch]:
    origin = source.trust.open_checkpoint(note).checkpoint.origin
    with StateDirectory(state, f"{origin} watch") as folder:
        memory = CheckpointMemory(folder.path)
        try:
            yield LogWatch(source.trust, origin, memory, source.prove)
        finally:
            memory.close()


def _show_and_go_on(error: Exception) -> None:
    if explanation := explain(error):
        show(explanation)


def _say_seen(seen: Checkpoint, as_json: bool) -> None:
    if as_json:
        say_json(_members(seen), on_one_line=True)
        return
    words = _("{log}: {count} entries, root {root}", log=shown(seen.origin), count=seen.size,
              root=encode_base64(seen.root))  # fmt: skip
    say(words)
