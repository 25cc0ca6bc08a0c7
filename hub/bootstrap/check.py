"""`lienthong ledger fsck`: the whole-hub check over one data folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from tempfile import TemporaryDirectory

from adapters.storage.engine import Database
from adapters.storage.migrate import create_views
from adapters.storage.views import Views
from hub.bootstrap.core import Core
from hub.bootstrap.reading import Stores
from hub.ledger.fsck import FINDINGS_MAX, Finding, Parts, check_everything
from hub.projections.deliveries import DeliveryProjection


def check_hub(
    core: Core | Stores, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Finding]:
    """Every finding about every store of a hub. Changes nothing."""
    parts = Parts(
        origin=core.settings.origin,
        keys=core.signer.keys,
        log=core.log,
        store=core.store,
        signer=core.signer,
        content=core.content,
        vault=core.vault,
        cosignatures=core.cosignatures,
    )
    sound = True
    for count, finding in enumerate(check_everything(parts, progress=progress)):
        sound = False
        if count == FINDINGS_MAX:
            yield Finding("more differs than is named here")
            return
        yield finding
    # Views are made from the events: while these are in doubt, comparing proves nothing.
    if sound:
        yield from _check_views(core)


def _check_views(core: Core | Stores) -> Iterator[Finding]:
    covered = core.store.latest_checkpoint()
    if covered is None or core.views.position() > covered[0]:
        yield Finding("the lists are ahead of the log")
        return
    with TemporaryDirectory(prefix="lienthong-fsck-") as scratch:
        url = f"sqlite:///{scratch}/views.db"
        create_views(url)
        database = Database(url)
        try:
            rebuilt = Views(database)
            DeliveryProjection(core.log, core.vault, rebuilt).catch_up(core.views.position())
            for live, fresh in zip_longest(core.views.rows(), rebuilt.rows()):
                if live != fresh:
                    row = live or fresh
                    exchange = row.exchange_id if row else ""
                    yield Finding(f"the lists differ from a rebuild at exchange {exchange}")
        finally:
            database.close()
