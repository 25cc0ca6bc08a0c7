"""The signer of checkpoints: in a process of its own, or reached by a hub that has none."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from adapters.system import system_clock
from hub.application.ports import Signer
from hub.bootstrap.custody import Ask, Custodian, custodian_of, nobody, signer_places
from hub.bootstrap.folder import DataFolder, FolderBusy
from hub.bootstrap.signer_links import link_in, link_of_hub, link_of_signer
from hub.config import ConfigInvalid, Settings, SignerSettings
from hub.errors import LedgerMismatch
from keys.age import KeySecretMissing, KeySecretWrong
from keys.checkpoint_signer import CheckpointSigner
from keys.file import KeyFileError
from keys.last_signed import LastSigned
from keys.link import End, Link, LinkCertificate, LinkRefused, require_in_force
from keys.link_tls import LinkContexts
from keys.log_keys import log_key_files
from keys.remote_signer import RemoteSigner, SignerUnreachable, Way
from keys.signer_service import serving
from keys.signer_tls import serving_tls
from keys.ways import TlsWay, UnixWay

_logger = structlog.get_logger("signer")
_UNIX, _TLS = "unix:", "tls://"


def remote_signer(
    folder: DataFolder, settings: Settings, custodian: Custodian, link: Link | None = None
) -> RemoteSigner | None:
    """The signer's process that a hub asks; None where it signs itself.

    `link` is shown instead of the hub's own, for a trial. Raises ConfigInvalid while the hub's
    folder still holds a key or a memory: of each there is one, and it is the signer's.
    """
    if settings.signer == "local":
        return None
    if log_key_files(folder.log_key.parent) or folder.last_signed.exists():
        raise ConfigInvalid(
            f"{folder.log_key.parent} is still in the hub's folder; move it, do not copy it, to"
            " where the signer runs"
        )
    way = _way_to(settings, link or link_of_hub(folder), custodian)
    return RemoteSigner(settings.origin, way, settings.signer_timeout_s)


def _way_to(settings: Settings, link: Link, custodian: Custodian) -> Way:
    if settings.signer.startswith(_UNIX):
        return UnixWay(Path(settings.signer.removeprefix(_UNIX)))
    host, port = _host_and_port(settings.signer.removeprefix(_TLS))
    contexts = LinkContexts(link, lambda: custodian.read)
    return TlsWay(host, port, link, contexts, system_clock)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


# --- what a hub can say of it ---------------------------------------------------------


def signer_answers(folder: DataFolder, settings: Settings, ask: Ask = nobody) -> bool:
    """Whether a signer of its own was asked, and answered; nothing is signed.

    False where there is none, and where the key that the hub shows cannot be opened without a
    secret that nobody gives: then what lies in the open was looked at.
    Raises SignerUnreachable, KeyFileError, LinkRefused, LedgerMismatch, ConfigInvalid.
    """
    by_tls = settings.signer.startswith(_TLS)
    if by_tls:
        require_in_force(link_of_hub(folder).current(), "this hub's", system_clock())
    with closing(custodian_of(folder, settings, ask)) as custodian:
        if (signer := remote_signer(folder, settings, custodian)) is None:
            return False
        try:
            if by_tls:
                _ = custodian.read
        except KeySecretMissing:
            return False
        _ = signer.keys
    return True


def switch_link(root: Path, ask: Ask, *, untried: bool) -> LinkCertificate:
    """Show the certificate that waits; at a hub, only once the signer answers to it.

    Raises LinkRefused, SignerUnreachable, KeyFileError, ConfigInvalid, OSError, and what the
    custodian does.
    """
    link = link_in(root)
    if link.end is End.HUB and not untried:
        folder, settings = DataFolder(root), Settings.load(root)
        with closing(custodian_of(folder, settings, ask)) as custodian:
            trial = remote_signer(folder, settings, custodian, link.after_the_switch())
            _ = trial and trial.keys
    return link.switch()


def trouble_with_signer(folder: DataFolder, settings: Settings) -> str | None:
    """What is wrong between this hub and its signer, in a sentence; None where nothing shows."""
    try:
        signer_answers(folder, settings)
    except (SignerUnreachable, KeyFileError, KeySecretWrong, LinkRefused) as error:
        return str(error)
    except (LedgerMismatch, ConfigInvalid) as error:
        return str(error)
    return None


def link_ends(
    folder: DataFolder, settings: Settings, signer: Signer
) -> dict[tuple[str, str], datetime]:
    """When the certificates end that hub and signer show each other, by holder and purpose."""
    if not settings.signer.startswith(_TLS):
        return {}
    ends = {("hub", "signer-link"): link_of_hub(folder).current().ends}
    way = signer.way if isinstance(signer, RemoteSigner) else None
    if isinstance(way, TlsWay) and (until := way.shown_until) is not None:
        ends["signer", "signer-link"] = until
    return ends


# --- the process ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenSigner:
    """A signer, and what it shows to hubs on other machines."""

    signer: CheckpointSigner
    link: Link
    contexts: LinkContexts


@contextmanager
def open_signer(root: Path, settings: SignerSettings, ask: Ask = nobody) -> Iterator[OpenSigner]:
    """The signer in a folder, alone: what was `signer/` in a hub's folder.

    Its memory says which log it signs. Raises FolderBusy, ConfigInvalid, KeyFileError,
    KeySecretMissing, KeySecretWrong, SignerStoreError, TokenUnavailable.
    """
    with _alone(root), closing(LastSigned.open(root / "last-signed.db")) as memory:
        last = memory.read()
        if last is None:
            raise ConfigInvalid(f"the signer in {root} has signed nothing yet, so it has no log")
        with closing(Custodian(signer_places(root), settings, ask)) as custodian:
            signer = CheckpointSigner(last.origin, custodian.log_keys(root), memory)
            link = link_of_signer(root)
            yield OpenSigner(signer, link, LinkContexts(link, lambda: custodian.read))


@asynccontextmanager
async def signer_serving(
    opened: OpenSigner, settings: SignerSettings, path: Path | None, listen: str | None
) -> AsyncIterator[list[str]]:
    """Answer hubs for as long as the block runs: on a socket, by TLS, or both.

    Gives the places where it listens. Raises OSError, ConfigInvalid for a link that is not whole.
    """
    places = []
    async with AsyncExitStack() as stack:
        if listen is not None:
            _require_whole(opened)
            listener = stack.enter_context(_bound(listen))
            served = serving_tls(opened.signer, listener, opened.contexts, told=_say)
            await stack.enter_async_context(served)
            host, _ = _host_and_port(listen)
            shown = f"[{host}]" if ":" in host else host
            places.append(f"{_TLS}{shown}:{listener.getsockname()[1]}")
        if path is not None:
            uids = settings.allow_uids or (os.geteuid(),)
            await stack.enter_async_context(serving(opened.signer, path, uids=uids, told=_say))
            places.append(f"{_UNIX}{path}")
        yield places


def _require_whole(opened: OpenSigner) -> None:
    """What would turn every hub away must not be found out by a hub."""
    try:
        opened.contexts.newest()
        require_in_force(opened.link.current(), "the signer's own", system_clock())
    except (OSError, KeyFileError, LinkRefused) as error:
        raise ConfigInvalid(str(error)) from error


def _bound(listen: str) -> socket.socket:
    host, port = _host_and_port(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigInvalid(f"--listen: cannot listen on {listen}: {error}") from error


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
