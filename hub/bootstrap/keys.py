"""All private keys of a hub, ready for use: opened here, or held by a signer elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hub.application.ports import KeyCustody, Signer
from hub.bootstrap.custody import Custodian
from hub.bootstrap.folder import DataFolder
from hub.bootstrap.signer import remote_signer
from hub.config import Settings
from keys.checkpoint_signer import CheckpointSigner
from keys.last_signed import LastSigned


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs checkpoints, what wraps document keys, and the file of the server's key."""

    custody: KeyCustody
    signer: Signer
    server_key: Path


@contextmanager
def open_keys(folder: DataFolder, settings: Settings, custodian: Custodian) -> Iterator[Keys]:
    """The keys of a hub, for as long as the block runs; then the custodian is closed.

    Raises KeyFileError, KeySecretMissing, KeySecretWrong, SignerStoreError, ConfigInvalid,
    TokenUnavailable, SignerUnreachable.
    """
    with ExitStack() as stack:
        stack.callback(custodian.close)
        signer: Signer | None = remote_signer(folder, settings, custodian)
        if signer is not None:
            _ = signer.keys  # One that does not answer now must not be found out by a batch.
        else:
            last_signed = LastSigned.open(folder.last_signed)
            stack.callback(last_signed.close)
            log_keys = custodian.log_keys(folder.log_key.parent)
            signer = CheckpointSigner(settings.origin, log_keys, last_signed)
        yield Keys(
            custody=custodian.content(folder.content_key),
            signer=signer,
            server_key=stack.enter_context(custodian.server_key(folder.server_key)),
        )
