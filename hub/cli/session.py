"""What the commands of an agency and of an operator begin with: a profile and a client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from hub.cli.console import say, stderr
from hub.cli.errors import CommandFailed, explain, show
from hub.cli.messages import N_, _
from hub.client import Accepted, ClientProfile, CollectedDocument, HubClient, RegistryClient
from hub.client.answers import DeliveryState, RecallState, Repeated
from hub.client.directory import Directory
from hub.client.errors import UNDECIDED
from hub.client.uploading import Progress, no_progress
from hub.errors import HubError, NumberUnknown, RoleNotPermitted

T = TypeVar("T")

ProfileOption = Annotated[
    Path,
    typer.Option(
        "--profile",
        envvar="LIENTHONG_PROFILE",
        metavar="FILE",
        help="The profile to work with: profile.toml, or the folder it lies in.",
    ),
]
AnyProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        envvar="LIENTHONG_PROFILE",
        metavar="FILE",
        help="The profile to work with: profile.toml, or the folder it lies in.",
    ),
]
ReceiptOption = Annotated[
    Path | None,
    typer.Option("--receipt", metavar="FILE", help="Write a copy of the receipt there."),
]
OfOption = Annotated[
    str,
    typer.Option(
        "--of",
        metavar="CODE",
        help="In the boxes of an agency that this one has taken over, by its primary code.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_CODES = {
    "01": N_("01 arrived"),
    "02": N_("02 refused"),
    "03": N_("03 accepted"),
    "04": N_("04 assigned"),
    "05": N_("05 processing"),
    "06": N_("06 finished"),
    "13": N_("13 recall asked"),
    "15": N_("15 recall agreed"),
    "16": N_("16 recall refused"),
}
_UNKNOWN = N_("unknown here")
_STATES = {
    DeliveryState.UNKNOWN: _UNKNOWN,
    DeliveryState.CONSIGNED: N_("not collected"),
    DeliveryState.COLLECTED: N_("collected"),
    DeliveryState.ARRIVED: _CODES["01"],
    DeliveryState.REFUSED: _CODES["02"],
    DeliveryState.ACCEPTED: _CODES["03"],
    DeliveryState.ASSIGNED: _CODES["04"],
    DeliveryState.PROCESSING: _CODES["05"],
    DeliveryState.FINISHED: _CODES["06"],
}
_RECALLS = {
    RecallState.UNKNOWN: _UNKNOWN,
    RecallState.ASKED: _CODES["13"],
    RecallState.AGREED: _CODES["15"],
    RecallState.REFUSED: _CODES["16"],
}


@dataclass(frozen=True, slots=True)
class Named:
    """A document that was named on the command line, found at the hub."""

    exchange_id: str
    envelope_digest: str


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command to its end; Ctrl-C hangs up properly."""
    return asyncio.run(work)


def read_profile(path: Path) -> ClientProfile:
    """The profile of that file or folder, whosever it is. Raises ProfileInvalid."""
    return ClientProfile.load(path / "profile.toml" if path.is_dir() else path)


def load_profile(path: Path, *, of_agency: bool) -> ClientProfile:
    """The profile of that file or folder. Raises ProfileInvalid, and for the other role."""
    profile = read_profile(path)
    # Before anything is opened: a state folder belongs for ever to whoever opens it first.
    if (profile.agency is not None) != of_agency:
        raise RoleNotPermitted(f"{path} is the profile of {profile.agency or 'an operator'}")
    return profile


@asynccontextmanager
async def agency(
    profile: Path, progress: Progress = no_progress
) -> AsyncIterator[tuple[HubClient, list[Accepted]]]:
    """An agency's client, and what had to be sent again first because an earlier run broke off.

    Raises what keeps such a statement from being settled: nothing new is signed before it is.
    """
    async with HubClient.open(load_profile(profile, of_agency=True)) as hub:
        finished = []
        for repeated in await hub.resume(progress):
            if accepted := _finished(repeated):
                finished.append(accepted)
        yield hub, finished


@asynccontextmanager
async def operator(profile: Path) -> AsyncIterator[RegistryClient]:
    """An operator's client."""
    async with RegistryClient.open(load_profile(profile, of_agency=False)) as registry:
        yield registry


@asynccontextmanager
async def directory(profile: Path) -> AsyncIterator[Directory]:
    """The hub's directory, for an agency as for an operator; nothing is sent again first."""
    read = read_profile(profile)
    if read.agency is None:
        async with RegistryClient.open(read) as registry:
            yield registry.directory
    else:
        async with HubClient.open(read) as hub:
            yield hub.directory


def require_place_for(receipt: Path | None) -> None:
    """Find out that a receipt could not be written before there is one."""
    if receipt is not None and not receipt.parent.is_dir():
        raise typer.BadParameter(_("the folder for the receipt is not there"))


async def find(hub: HubClient, name: str, of: str = "") -> Named:
    """The document of an exchange id, or of a number in the inbox, or in that of `of`."""
    if _UUID.fullmatch(name):
        return await find_exchange(hub, name)
    if name.isascii() and name.isdigit() and 0 < int(name) < 2**63:
        with suppress(NumberUnknown):
            async for item in hub.inbox(after=int(name) - 1, agency=of):
                return Named(item.exchange_id, item.envelope_digest)
    raise CommandFailed(
        "NOT_FOUND",
        _("There is no document {name} in the inbox.", name=name),
        _("Name a number of `lienthong inbox`, or the id of an exchange."),
    )


async def find_exchange(hub: HubClient, exchange_id: str) -> Named:
    """The document of an exchange id. Raises ExchangeUnknown."""
    exchange = await hub.exchange(exchange_id)
    return Named(exchange.exchange_id, exchange.envelope_digest)


def exchange_id(name: str | None) -> str | None:
    """Check what must be the id of an exchange; a callback of arguments and options."""
    if name is not None and not _UUID.fullmatch(name):
        raise typer.BadParameter(_("name the exchange by its id, as `lienthong send` printed it"))
    return name


def state_in_words(state: DeliveryState) -> str:
    """How far a delivery has come, for a person."""
    return _(_STATES[state])


def code_in_words(code: str) -> str:
    """What a code of a statement says, for a person."""
    return _(_CODES.get(code, _UNKNOWN))


def standing_in_words(
    state: DeliveryState,
    recall: RecallState,
    *,
    expired: bool,
    replaced: bool,
    erased: bool = False,
) -> str:
    """Everything that can be said of a document at one recipient, for a person."""
    words = [state_in_words(state)]
    if recall is not RecallState.NONE:
        words.append(_(_RECALLS[recall]))
    if expired:
        words.append(_("expired"))
    if replaced:
        words.append(_("replaced"))
    if erased:
        words.append(_("erased"))
    return ", ".join(words)


def _finished(repeated: Repeated) -> Accepted | None:
    error = repeated.error
    if error is None:
        say(_("Sent now, from an earlier run: request {id}.", id=repeated.request_id), to=stderr())
        answer = repeated.answer
        return answer.handover if isinstance(answer, CollectedDocument) else answer
    if not isinstance(error, HubError) or isinstance(error, UNDECIDED):
        raise error
    # Refused is settled: the person must know, and what they ask for now can go on.
    say(_("Refused now, from an earlier run: request {id}.", id=repeated.request_id), to=stderr())
    if explanation := explain(error):
        show(explanation)
    return None
