"""An authority with lists, responder and timestamps, as of any date: nobody here wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from asn1crypto import ocsp, tsp
from certomancer.registry import (
    ArchLabel,
    CertLabel,
    CertomancerConfig,
    PKIArchitecture,
    ServiceLabel,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.timestamping import Holder

_FOR_EVER = {"valid-from": "2000-01-01T00:00:00+0000", "valid-to": "2100-01-01T00:00:00+0000"}
_ENTITIES = ("root", "middle", "signer", "stolen", "former", "responder", "tsa", "clocks", "clock")


def _leaf(*further: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"schema": "key-usage", "params": ["digital_signature", "non_repudiation"]}
    lists = {"schema": "crl-dist-url", "params": {"crl-repo-names": ["middle"]}}
    responder = {"schema": "aia-urls", "params": {"ocsp-responder-names": ["middle"]}}
    extensions = [
        {"id": "key_usage", "critical": True, "smart-value": usage},
        {"id": "crl_distribution_points", "smart-value": lists},
        {"id": "authority_information_access", "smart-value": responder},
        *further,
    ]
    return {"issuer": "middle", "validity": _FOR_EVER, "extensions": extensions} | more


_STAMPING = {"id": "extended_key_usage", "critical": True, "value": ["time_stamping"]}
_CERTIFICATES: dict[str, Any] = {
    "root": {
        "issuer": "root",
        "validity": _FOR_EVER,
        "profiles": [{"id": "simple-ca", "params": {"crl-repo": "root"}}],
    },
    "middle": {
        "issuer": "root",
        "validity": _FOR_EVER,
        "profiles": [{"id": "simple-ca", "params": {"max-path-len": 0, "crl-repo": "root"}}],
    },
    "signer": _leaf(),
    "stolen": _leaf(
        revocation={"revoked-since": "2020-12-01T00:00:00+0000", "reason": "key_compromise"}
    ),
    "former": _leaf(
        validity={"valid-from": "2019-01-01T00:00:00+0000", "valid-to": "2021-01-01T00:00:00+0000"}
    ),
    "responder": {
        "issuer": "middle",
        "validity": _FOR_EVER,
        "profiles": ["ocsp-responder"],
    },
    "tsa": _leaf(_STAMPING),
    "clocks": {
        "issuer": "clocks",
        "validity": _FOR_EVER,
        "profiles": [{"id": "simple-ca"}],
    },
    "clock": {
        "issuer": "clocks",
        "validity": {
            "valid-from": "2015-01-01T00:00:00+0000",
            "valid-to": "2025-01-01T00:00:00+0000",
        },
        "extensions": [_STAMPING],
    },
}
_SERVICES: dict[str, Any] = {
    "crl-repo": {
        "root": {
            "for-issuer": "root",
            "signing-key": "root",
            "simulated-update-schedule": "P90D",
        },
        "middle": {
            "for-issuer": "middle",
            "signing-key": "middle",
            "simulated-update-schedule": "P1D",
        },
    },
    "ocsp": {
        "middle": {
            "for-issuer": "middle",
            "responder-cert": "responder",
            "signing-key": "responder",
        }
    },
    "time-stamping": {
        name: {"signing-key": name, "signing-cert": name} for name in ("tsa", "clock")
    },
}


class Pki:
    """Root, an authority below it, a signer, and one whose key was stolen on 2020-12-01.

    `former` was one until 2021. `clock` stamps until 2025, below another root, `clocks`.
    """

    def __init__(self, folder: Path) -> None:
        self._keys: dict[str, Any] = {}
        for name in _ENTITIES:
            self._keys[name] = key = ec.generate_private_key(ec.SECP256R1())
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (folder / f"{name}.pem").write_bytes(pem)
        config = {
            "external-url-prefix": "http://ca.test",
            "keysets": {"keys": {"keys": {name: {"path": f"{name}.pem"} for name in _ENTITIES}}},
            "pki-architectures": {
                "gov": {
                    "keyset": "keys",
                    "entities": {
                        name: {"common-name": name, "country-name": "VN"} for name in _ENTITIES
                    },
                    "certs": _CERTIFICATES,
                    "services": _SERVICES,
                }
            },
        }
        made = CertomancerConfig(config, key_search_dir=str(folder))
        self._arch: PKIArchitecture = made.get_pki_arch(ArchLabel("gov"))

    def certificate(self, name: str) -> bytes:
        """A certificate in DER."""
        der: bytes = self._arch.get_cert(CertLabel(name)).dump()
        return der

    def holder(self, name: str) -> Holder:
        """A certificate with its key."""
        return Holder(x509.load_der_x509_certificate(self.certificate(name)), self._keys[name])

    def lists(self, at: datetime, *names: str) -> Sequence[bytes]:
        """The lists of these authorities as they were at a moment."""
        services = self._arch.service_registry
        return [
            services.get_crl(ServiceLabel(name), at_time=at).dump()
            for name in names or ("root", "middle")
        ]

    def stamp(self, request: bytes, at: datetime, name: str = "tsa") -> bytes:
        """What a time-stamping authority answers to a request (RFC 3161) at a moment."""
        services = self._arch.service_registry
        stamper = services.summon_timestamper(ServiceLabel(name), at_time=at)
        der: bytes = stamper.request_tsa_response(tsp.TimeStampReq.load(request)).dump()
        return der

    def answer(self, name: str, at: datetime) -> bytes:
        """What the responder said of a certificate at a moment."""
        services = self._arch.service_registry
        responder = services.summon_responder(ServiceLabel("middle"), at_time=at)
        asked = ocsp.CertId(
            {
                "hash_algorithm": {"algorithm": "sha1"},
                "issuer_name_hash": self._arch.get_cert(CertLabel("middle")).subject.sha1,
                "issuer_key_hash": self._arch.get_cert(CertLabel("middle")).public_key.sha1,
                "serial_number": self._arch.get_cert(CertLabel(name)).serial_number,
            }
        )
        request = ocsp.OCSPRequest(
            {"tbs_request": {"request_list": [ocsp.Request({"req_cert": asked})]}}
        )
        der: bytes = responder.build_ocsp_response(request).dump()
        return der
