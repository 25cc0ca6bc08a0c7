"""Sealing the keys of a folder: all of them, in the end; and none without the secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.bootstrap import custody as wiring
from hub.bootstrap.custody import SECRET_VARIABLE, Custodian, places_in, protect, unprotect
from hub.config import ConfigInvalid, CustodySettings, Settings
from keys import age
from keys.age import (
    Identities,
    KeyNotProtected,
    KeyProtected,
    KeySecretMissing,
    KeySecretWrong,
    RecipientsInvalid,
    is_sealed,
)
from keys.custody import ContentCustody
from keys.file import KeyFileError, create_private_key
from tests.support.age import sealed_by_passphrase

FIRST, SECOND = Identities.generate(), Identities.generate()
OPERATORS = FIRST.recipients + SECOND.recipients
SEALED, PLAIN = CustodySettings(custody="age"), CustodySettings()


def text_of(identities: Identities) -> str:
    return "".join(f"{each}\n" for each in identities._identities)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("keys", "signer", "tls"):
        (tmp_path / name).mkdir()
    (tmp_path / "hub.toml").write_text('origin = "hub.example/log"\n')
    create_private_key(tmp_path / "signer" / "log-key.pem", Ed25519PrivateKey.generate())
    create_private_key(tmp_path / "tls" / "server.key.pem", Ed25519PrivateKey.generate())
    ContentCustody.create(tmp_path / "keys" / "content-key")
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age.scrypt, "encrypt", sealed_by_passphrase)


def custodian(root: Path, secret: str = "", settings: CustodySettings = SEALED) -> Custodian:
    return Custodian(places_in(root), settings, lambda: secret, environment={})


def secrets(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in places_in(root).secrets}


def test_all_keys_of_a_hub_are_sealed_for_both_operators(root: Path):
    before = secrets(root)

    done = protect(custodian(root), OPERATORS, passphrase=False, again=False)

    assert {path.name for path in done.changed} == {"log-key.pem", "content-key", "server.key.pem"}
    assert all(is_sealed(data) for data in secrets(root).values())
    for operator in (FIRST, SECOND):
        opener = custodian(root, text_of(operator))
        assert {path.name: opener.read(path) for path in places_in(root).secrets} == before


def test_stopped_in_the_middle_it_is_finished_by_the_same_command(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    before, replace, left = secrets(root), wiring.replace_file, [1]

    def power_cut(path: Path, data: bytes, *, mode: int) -> None:
        if not left:
            raise OSError(5, "power cut")
        left.pop()
        replace(path, data, mode=mode)

    with monkeypatch.context() as patched:
        patched.setattr(wiring, "replace_file", power_cut)
        with pytest.raises(OSError, match="power cut"):
            protect(custodian(root), OPERATORS, passphrase=False, again=False)
    assert sorted(is_sealed(data) for data in secrets(root).values()) == [False, False, True]
    # Half of it starts under neither setting.
    with pytest.raises(KeyNotProtected):
        [custodian(root, text_of(FIRST)).read(path) for path in places_in(root).secrets]
    with pytest.raises(KeyProtected):
        [custodian(root, settings=PLAIN).read(path) for path in places_in(root).secrets]

    done = protect(custodian(root), OPERATORS, passphrase=False, again=False)

    assert (len(done.changed), len(done.found)) == (2, 1)
    opener = custodian(root, text_of(SECOND))
    assert {path.name: opener.read(path) for path in places_in(root).secrets} == before


def test_sealed_again_only_the_new_recipients_open_it(root: Path):
    protect(custodian(root), OPERATORS, passphrase=False, again=False)
    third = Identities.generate()
    wanted = SECOND.recipients + third.recipients

    done = protect(custodian(root, text_of(FIRST)), wanted, passphrase=False, again=True)

    assert len(done.changed) == 3
    path = places_in(root).secrets[0]
    assert custodian(root, text_of(third)).read(path).startswith(b"-----BEGIN PRIVATE KEY")
    with pytest.raises(KeySecretWrong):
        custodian(root, text_of(FIRST)).read(path)


def test_a_passphrase_is_asked_once_for_all_keys(root: Path, quick: None):
    before, asked = secrets(root), []
    protect(custodian(root, "correct horse"), [], passphrase=True, again=False)

    opener = Custodian(
        places_in(root), SEALED, lambda: asked.append(1) or "correct horse", environment={}
    )
    assert {path.name: opener.read(path) for path in places_in(root).secrets} == before
    assert asked == [1]


def test_a_wrong_passphrase_opens_and_changes_nothing(root: Path, quick: None):
    protect(custodian(root, "correct horse"), [], passphrase=True, again=False)
    before = secrets(root)

    with pytest.raises(KeySecretWrong) as refused:
        unprotect(custodian(root, "wrong donkey"))

    assert "donkey" not in str(refused.value)
    assert secrets(root) == before


def test_opened_again_the_keys_are_as_they_were(root: Path):
    before = secrets(root)
    protect(custodian(root), OPERATORS, passphrase=False, again=False)

    done = unprotect(custodian(root, text_of(FIRST)))

    assert len(done.changed) == 3
    assert secrets(root) == before


def test_too_few_recipients_change_nothing(root: Path):
    before = secrets(root)
    with pytest.raises(RecipientsInvalid):
        protect(custodian(root), OPERATORS[:1], passphrase=False, again=False)
    assert secrets(root) == before


def test_the_secret_comes_from_the_file_then_the_environment_then_a_person(root: Path):
    protect(custodian(root), OPERATORS, passphrase=False, again=False)
    (root / "secret").write_text(text_of(FIRST))
    (root / "secret").chmod(0o600)
    by_file = CustodySettings(custody="age", key_secret_file="secret")
    environment = {SECRET_VARIABLE: "from the environment"}

    def opened(settings: CustodySettings, environment: dict[str, str]) -> str:
        return Custodian(places_in(root), settings, lambda: "typed", environment).secret

    assert opened(by_file, environment) == text_of(FIRST).rstrip("\n")
    assert opened(SEALED, environment) == "from the environment"
    assert opened(SEALED, {}) == "typed"
    with pytest.raises(KeySecretMissing, match=SECRET_VARIABLE):
        _ = custodian(root).secret


def test_a_secret_file_that_others_can_read_is_refused(root: Path):
    (root / "secret").write_text(text_of(FIRST))
    (root / "secret").chmod(0o644)
    settings = CustodySettings(custody="age", key_secret_file="secret")
    with pytest.raises(KeyFileError, match="lets others at it"):
        _ = custodian(root, settings=settings).secret


def test_a_custodian_does_not_show_what_it_knows(root: Path):
    opener = Custodian(places_in(root), SEALED, environment={SECRET_VARIABLE: "sesame"})
    assert opener.secret == "sesame"
    assert "sesame" not in repr(opener)


def test_the_servers_key_is_opened_into_memory_only(root: Path):
    protect(custodian(root), OPERATORS, passphrase=False, again=False)
    path = root / "tls" / "server.key.pem"

    with custodian(root, text_of(FIRST)).server_key(path) as opened:
        assert opened.read_bytes().startswith(b"-----BEGIN PRIVATE KEY")
        assert opened.read_bytes() == opened.read_bytes()

    assert not opened.exists()
    assert is_sealed(path.read_bytes())


def test_a_hub_with_a_signer_of_its_own_has_no_log_key_to_seal(root: Path):
    (root / "signer" / "log-key.pem").unlink()
    assert [path.name for path in places_in(root).secrets] == ["content-key", "server.key.pem"]


def test_a_token_must_be_named(root: Path):
    (root / "hub.toml").write_text('origin = "hub.example/log"\ncustody = "pkcs11"\n')
    with pytest.raises(ConfigInvalid, match="pkcs11_module"):
        Settings.load(root)
