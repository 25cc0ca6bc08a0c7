"""The development authority at work: what `lienthong ca` does. NOT FOR PRODUCTION."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from adapters.system import system_clock
from hub.proof.signatures import Algorithm
from keys.development_ca import DevelopmentCA, Issued
from keys.development_revocation import REASONS
from keys.file import PUBLIC_MODE, SECRET_MODE, KeyFileError, create_file

__all__ = ["REASONS", "Issued", "ListServer", "issue", "new", "publish", "revoke", "write"]

_REQUEST_BYTES_MAX = 16 * 1024
_PATIENCE_S = 10


def new(folder: Path) -> bytes:
    """A new authority in a folder; its certificate in PEM. Raises KeyFileError."""
    return DevelopmentCA.create(folder, system_clock).certificate_pem


def issue(
    folder: Path,
    name: str,
    algorithm: Algorithm | None,
    *,
    begin: datetime | None = None,
    end: datetime | None = None,
) -> Issued:
    """A certificate for signing with an algorithm, or for the connection where there is none.

    Raises KeyFileError, and ValueError for a name or times that cannot be.
    """
    authority = DevelopmentCA.open(folder, system_clock)
    if algorithm is None:
        return authority.issue_client(name)
    return authority.issue_signing(name, algorithm, begin, end)


def write(issued: Issued, certificate: Path, key: Path) -> None:
    """Keep both as files that were not there, the key for its owner only. KeyFileError."""
    create_file(key, issued.private_key_pem, mode=SECRET_MODE)
    create_file(certificate, issued.certificate_pem, mode=PUBLIC_MODE)


def revoke(folder: Path, certificate: bytes, reason: str, since: datetime | None) -> None:
    """Take a certificate (PEM) back. Raises KeyFileError and ValueError."""
    DevelopmentCA.open(folder, system_clock).revoke(certificate, reason, since)


def publish(folder: Path, lasting: timedelta) -> bytes:
    """The revocation list of now, in DER. Raises KeyFileError."""
    return DevelopmentCA.open(folder, system_clock).revocation_list(lasting)


class ListServer(HTTPServer):
    """Answers `GET /crl` with a fresh list, and `POST /ocsp` (RFC 6960); one call at a time."""

    def __init__(self, folder: Path, host: str, port: int, lasting: timedelta) -> None:
        """Listens at once. Raises OSError, and KeyFileError where there is no authority."""
        self.folder = folder
        self.lasting = lasting
        DevelopmentCA.open(folder, system_clock)
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: ListServer
    # Whoever connects and says nothing does not keep the others waiting for ever.
    timeout = _PATIENCE_S

    def do_GET(self) -> None:
        if self.path != "/crl":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._answer("application/pkix-crl", b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/ocsp":
            self.send_error(HTTPStatus.NOT_FOUND)
        elif not length.isascii() or not length.isdigit():
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif int(length) > _REQUEST_BYTES_MAX:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._answer("application/ocsp-response", self.rfile.read(int(length)))

    def _answer(self, media_type: str, request: bytes) -> None:
        try:
            # Opened anew, so that what another command revoked is known at once.
            authority = DevelopmentCA.open(self.server.folder, system_clock)
            lasting = self.server.lasting
            body = (
                authority.ocsp_answer(request, lasting)
                if request
                else authority.revocation_list(lasting)
            )
        except KeyFileError:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what is asked is no secret, and nothing to keep either."""
