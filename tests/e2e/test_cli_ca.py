"""A rehearsal on the command line: an authority issues, takes back, publishes; a hub follows."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from cryptography import x509

from hub.bootstrap.development import ListServer
from hub.cli.main import main as lienthong


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    assert lienthong(["ca", "new", str(tmp_path / "ca")]) == 0
    return tmp_path / "ca"


def issue(authority: Path, name: str, *more: str) -> tuple[Path, Path]:
    certificate, key = authority.parent / f"{name}.pem", authority.parent / f"{name}.key.pem"
    files = ["--certificate", str(certificate), "--key", str(key)]
    assert lienthong(["ca", "issue", str(authority), name, *files, *more]) == 0
    return certificate, key


def test_whatever_it_says_and_makes_is_marked(authority: Path, capsys):
    certificate, key = issue(authority, "UBND", "--algorithm", "ed25519")

    assert capsys.readouterr().out.count("NOT FOR PRODUCTION") == 1
    subject = x509.load_pem_x509_certificate(certificate.read_bytes()).subject
    assert "NOT FOR PRODUCTION" in subject.rfc4514_string()
    assert key.stat().st_mode & 0o777 == 0o600


def test_what_is_taken_back_stands_in_the_list(authority: Path, tmp_path: Path, capsys):
    certificate, _key = issue(authority, "UBND", "--algorithm", "ed25519")
    since = "2026-11-20T17:00:00+07:00"
    revoke = ["ca", "revoke", str(authority), str(certificate), "--reason", "key-compromise"]
    assert lienthong([*revoke, "--since", since]) == 0
    capsys.readouterr()
    assert lienthong(["ca", "crl", str(authority), str(tmp_path / "ca.crl"), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["for_production"] is False
    listed = x509.load_der_x509_crl((tmp_path / "ca.crl").read_bytes())
    (entry,) = listed
    serial = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
    assert entry.serial_number == serial
    assert entry.revocation_date_utc.isoformat() == "2026-11-20T10:00:00+00:00"


@pytest.mark.parametrize(
    "wrong",
    [
        ["ca", "new", "{ca}"],
        ["ca", "issue", "{ca}", "", "--certificate", "{new}", "--key", "{new}.key"],
        ["ca", "issue", "{ca}", "x", "--certificate", "{old}", "--key", "{old}"],
        ["ca", "revoke", "{ca}", "{old}", "--reason", "superseded"],
        ["ca", "crl", "{new}", "{new}"],
    ],
    ids=["one is there", "no name", "a file is there", "no certificate", "no authority"],
)
def test_what_it_cannot_do_ends_with_1_and_changes_nothing(authority, tmp_path, wrong):
    old = tmp_path / "old.pem"
    old.write_text("no certificate")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    places = {"ca": authority, "old": old, "new": tmp_path / "new"}

    assert lienthong([part.format(**places) for part in wrong]) == 1

    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_the_list_is_published_on_this_machine(authority: Path):
    with ListServer(authority, "127.0.0.1", 0, timedelta(days=1)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            with urlopen(f"{address}/crl") as answer:
                assert list(x509.load_der_x509_crl(answer.read())) == []
            for path, data in (("/else", None), ("/ocsp", b"junk"), ("/ocsp", bytes(20_000))):
                with pytest.raises(OSError, match=r"HTTP Error 4\d\d"):
                    urlopen(Request(f"{address}{path}", data=data)).close()
        finally:
            server.shutdown()
            thread.join()
