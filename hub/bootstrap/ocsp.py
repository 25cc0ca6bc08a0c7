"""The OCSP responders of a hub's settings, ready to be asked."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.pki.ocsp import HttpOcspResponder
from hub.application.ocsp_answers import NamedResponder
from hub.application.ports import MayAct
from hub.bootstrap.folder import DataFolder
from hub.config import ConfigInvalid, OcspSetting, Settings

_FILE_BYTES_MAX = 1 << 20


def responders_to_ask(
    folder: DataFolder, settings: Settings, authorities: Sequence[bytes], may_act: MayAct
) -> list[NamedResponder]:
    """Those of the settings; `authorities` are the hub's own, in DER.

    Raises ConfigInvalid for a file of issuers that cannot be used, or that names another.
    """
    return [
        NamedResponder(
            name=each.name,
            port=HttpOcspResponder(
                each.url,
                timeout_s=settings.ocsp_timeout_s,
                cached=each.method == "get",
                may_act=may_act,
            ),
            issuers=_issuers(folder, each, frozenset(authorities)),
            named_by=each.hash,
            nonce=each.nonce and each.method == "post",
        )
        for each in settings.ocsp_responders
    ]


def _issuers(
    folder: DataFolder, setting: OcspSetting, authorities: frozenset[bytes]
) -> frozenset[bytes]:
    if not setting.issuers:
        return authorities
    path = folder.root / setting.issuers
    try:
        with path.open("rb") as file:
            loaded = x509.load_pem_x509_certificates(file.read(_FILE_BYTES_MAX))
    except (OSError, ValueError) as error:
        raise ConfigInvalid(
            f"the issuers of the OCSP responder {setting.name} cannot be read: {path}"
        ) from error
    issuers = frozenset(each.public_bytes(Encoding.DER) for each in loaded)
    if not issuers <= authorities:
        raise ConfigInvalid(
            f"the OCSP responder {setting.name} has an issuer that is no authority of this hub"
        )
    return issuers
