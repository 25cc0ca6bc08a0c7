"""The trusted root a client holds, and the editions that follow it: fetched, checked, kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hub.client.errors import ClientError, StateDamaged
from hub.client.line import Line
from hub.client.state import StateDirectory, read_at_most, write_durably
from hub.errors import HubError, VerificationFailed
from hub.proof.note import VerifierKey
from hub.proof.succession import (
    SIGNED_ROOT_BYTES_MAX,
    RootSignature,
    SignedRoot,
    bytes_to_sign,
    follow,
    is_signed_root,
    next_edition,
    parse_signed_root,
)
from hub.proof.trust import RootKeys, TrustedRoot, parse_trusted_root
from hub.v1.ledger_service_pb2 import ListTrustedRootsRequest

ASK_EVERY = timedelta(hours=1)
"""How long an answer of the hub is good enough for a client that goes on running."""

FetchRoots = Callable[[int], Awaitable[Sequence[bytes]]]
"""The signed editions after the one of this number, from wherever they are served."""


def now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def roots_of(line: Line) -> FetchRoots:
    """The editions that a hub serves."""

    async def fetch(after: int) -> Sequence[bytes]:
        answer = await line.call(line.ledger.ListTrustedRoots, ListTrustedRootsRequest(after=after))
        return answer.trusted_roots

    return fetch


class RootBook:
    """The editions that a client has followed, one file each, in its state folder.

    Each start goes the whole way again from the edition that the profile names: what lies here
    is believed for its signatures alone.
    """

    def __init__(self, folder: Path, first: TrustedRoot) -> None:
        """Raises StateDamaged for an edition that does not follow."""
        self._folder = folder
        self.newest = first
        while data := read_at_most(self._path(self.newest.version + 1), SIGNED_ROOT_BYTES_MAX):
            try:
                self.newest = next_edition(self.newest, data)
            except VerificationFailed as failure:
                path = self._path(self.newest.version + 1)
                raise StateDamaged(f"{path}: {failure}") from failure

    def keep(self, editions: Sequence[bytes]) -> None:
        """Keep editions that follow, in their order; durable on return."""
        for data in editions:
            self.newest = next_edition(self.newest, data)
            write_durably(self._path(self.newest.version), data)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"


class RootFollower:
    """Asks the hub for later editions: once an hour, and again when a receipt does not hold."""

    def __init__(
        self, book: RootBook, fetch: FetchRoots, clock: Callable[[], datetime] = now
    ) -> None:
        self._book = book
        self._fetch = fetch
        self._clock = clock
        self._asked_at: datetime | None = None
        self._turn = asyncio.Lock()

    @property
    def newest(self) -> TrustedRoot:
        """The newest edition that is held."""
        return self._book.newest

    async def current(self) -> TrustedRoot:
        """The newest edition, asked for now and then. A hub that cannot say is asked next time.

        Nothing can follow an edition without root keys, so none is asked for.
        """
        asked_at = self._asked_at
        if asked_at is None or abs(self._clock() - asked_at) > ASK_EVERY:
            await self.again()
        return self.newest

    async def again(self) -> TrustedRoot:
        """Ask now, all the way to the newest edition.

        Raises VerificationFailed(step="trust") for an edition that does not follow, and when the
        newest there is has expired: whoever serves it keeps a later one back.
        """
        if self.newest.root_keys is None:
            return self.newest
        async with self._turn:
            try:
                while editions := await self._fetch(self.newest.version):
                    await asyncio.to_thread(self._book.keep, editions)
                self._asked_at = self._clock()
            except (ClientError, HubError):
                return self.newest
            return follow(self.newest, (), at=self._clock())


def follower_of(state: StateDirectory, first: TrustedRoot, line: Line) -> RootFollower:
    """The follower of a client with this state folder. Raises StateDamaged."""
    return RootFollower(RootBook(state.folder("trust"), first), roots_of(line))


def sign_edition(data: bytes, key_pem: bytes, held: TrustedRoot | None = None) -> SignedRoot:
    """A draft, or an edition signed by others, with the signature of one more root key.

    The key is found among the edition's own root keys, or among those of the edition that is
    `held`. Raises VerificationFailed(step="trust") when it is none of them.
    """
    signed = parse_signed_root(data) if is_signed_root(data) else SignedRoot(data, ())
    new = parse_trusted_root(signed.payload)
    try:
        private_key = load_pem_private_key(key_pem, password=None)
    except (TypeError, ValueError) as error:
        raise VerificationFailed("this is no private key in PEM", step="trust") from error
    if not isinstance(private_key, Ed25519PrivateKey):
        raise VerificationFailed("a root key is an Ed25519 key", step="trust")
    public = private_key.public_key().public_bytes_raw()
    for key in (*_keys(new.root_keys), *_keys(held.root_keys if held else None)):
        if key.public_key == public:
            signature = private_key.sign(bytes_to_sign(signed.payload))
            return signed.signed_with(RootSignature(key, signature))
    raise VerificationFailed("this is no root key of this edition", step="trust")


def _keys(keys: RootKeys | None) -> Sequence[VerifierKey]:
    return keys.keys if keys else ()
