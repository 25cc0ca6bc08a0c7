"""The signer of checkpoints: in a process of its own, or reached by a hub that has none."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import structlog

from hub.bootstrap.custody import Ask, Custodian, nobody, signer_places
from hub.bootstrap.folder import DataFolder, FolderBusy
from hub.config import ConfigInvalid, Settings, SignerSettings
from keys.checkpoint_signer import CheckpointSigner
from keys.last_signed import LastSigned
from keys.log_keys import log_key_files
from keys.remote_signer import RemoteSigner
from keys.signer_service import serving

_logger = structlog.get_logger("signer")
_UNIX = "unix:"


def remote_signer(folder: DataFolder, settings: Settings) -> RemoteSigner | None:
    """The signer's process that a hub asks; None where it signs itself.

    Raises ConfigInvalid while the hub's folder still holds a key or a memory: of each there is
    one, and it is the signer's.
    """
    if not settings.signer.startswith(_UNIX):
        return None
    if log_key_files(folder.log_key.parent) or folder.last_signed.exists():
        raise ConfigInvalid(
            f"{folder.log_key.parent} is still in the hub's folder; move it, do not copy it, to"
            " where the signer runs"
        )
    path = Path(settings.signer.removeprefix(_UNIX))
    return RemoteSigner(settings.origin, path, settings.signer_timeout_s)


@contextmanager
def open_signer(
    root: Path, settings: SignerSettings, ask: Ask = nobody
) -> Iterator[CheckpointSigner]:
    """The signer in a folder, alone: what was `signer/` in a hub's folder.

    Its memory says which log it signs. Raises FolderBusy, ConfigInvalid, KeyFileError,
    KeySecretMissing, KeySecretWrong, SignerStoreError, TokenUnavailable.
    """
    with _alone(root), closing(LastSigned.open(root / "last-signed.db")) as memory:
        last = memory.read()
        if last is None:
            raise ConfigInvalid(f"the signer in {root} has signed nothing yet, so it has no log")
        with closing(Custodian(signer_places(root), settings, ask)) as custodian:
            yield CheckpointSigner(last.origin, custodian.log_keys(root), memory)


@asynccontextmanager
async def signer_serving(
    signer: CheckpointSigner, path: Path, settings: SignerSettings
) -> AsyncIterator[None]:
    """Answer hubs on a socket for as long as the block runs. Raises OSError."""
    uids = settings.allow_uids or (os.geteuid(),)
    async with serving(signer, path, uids=uids, told=_say):
        yield


def _say(event: str, more: dict[str, object]) -> None:
    _logger.warning(event, **{key: value for key, value in more.items() if key != "event"})


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    # Two would not harm, the memory is changed by compare-and-swap; but one of them is a mistake.
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigInvalid(f"there is no signer in {root}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderBusy(f"another signer is using {root}") from None
        yield
    finally:
        os.close(descriptor)
