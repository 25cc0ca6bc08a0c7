"""One end of a link: each change is whole or not there, and what is wrong is said."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from hub.cli.messages import Language, speak
from hub.cli.sentences import in_words
from keys import link as module
from keys.file import KeyFileError
from keys.link import ACCEPTED_MAX, End, Link, LinkCertificate, LinkRefused, require_in_force

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def hub(tmp_path: Path) -> Link:
    return Link(tmp_path / "hub", End.HUB)


@pytest.fixture
def signer(tmp_path: Path) -> Link:
    return Link(tmp_path / "signer", End.SIGNER)


def make(link: Link, name: str = "one") -> LinkCertificate:
    return link.make(name, now=NOW, lasting=YEAR)


def pem(link: Link, name: str = "one") -> bytes:
    return make(link, name).pem.encode()


def test_the_first_certificate_is_shown_at_once_and_its_key_is_for_its_owner(hub: Link):
    made = make(hub)

    assert hub.state() == module.LinkState(End.HUB, made, None, ())
    assert (made.name, made.ends) == ("one", NOW + YEAR)
    assert stat.S_IMODE(hub.key_file(made).stat().st_mode) == 0o600
    key = load_pem_private_key(hub.key_file(made).read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    assert key.public_key() == load_pem_x509_certificate(made.pem.encode()).public_key()


def test_a_later_certificate_waits_until_it_is_switched_to(hub: Link):
    old, new = make(hub), make(hub, "two")

    assert (hub.state().current, hub.state().waiting) == (old, new)
    assert hub.after_the_switch().current() == new
    assert hub.switch() == new
    assert (hub.state().current, hub.state().waiting) == (new, None)
    # The key of what nobody is shown any more is gone.
    assert list(hub.key_files()) == [hub.key_file(new)]


def test_one_that_waits_is_given_again_until_it_has_ended(hub: Link):
    make(hub)
    waiting = make(hub, "two")
    assert make(hub, "three") == waiting

    later = hub.make("three", now=NOW + YEAR, lasting=YEAR)
    assert hub.state().waiting == later
    assert later.name == "three"


def test_a_key_is_written_as_the_settings_say(hub: Link):
    made = hub.make("one", now=NOW, lasting=YEAR, seal=lambda plain: b"sealed")
    assert hub.key_file(made).read_bytes() == b"sealed"


@pytest.mark.parametrize("broken", ["key", "certificate"])
def test_making_broken_off_leaves_what_was_shown_and_is_repeated(
    hub: Link, broken: str, monkeypatch: pytest.MonkeyPatch
):
    old = make(hub)
    name = {"key": "create_file", "certificate": "replace_file"}[broken]

    def fail(*_: object, **__: object) -> None:
        raise KeyFileError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(module, name, fail)
        with pytest.raises(KeyFileError):
            make(hub, "two")
    assert hub.state().current == old
    assert hub.state().waiting is None

    new = make(hub, "two")
    assert set(hub.key_files()) == {hub.key_file(old), hub.key_file(new)}


def test_a_switch_broken_off_after_the_rename_is_a_switch(
    hub: Link, monkeypatch: pytest.MonkeyPatch
):
    make(hub)
    new = make(hub, "two")
    with monkeypatch.context() as patched:
        patched.setattr(module, "sync_folder", lambda _: os.stat("/nowhere"))
        with pytest.raises(OSError, match="nowhere"):
            hub.switch()
    assert hub.current() == new
    assert hub.key_file(new).exists()
    make(hub, "three")
    assert len(list(hub.key_files())) == 2


def test_two_are_accepted_at_once_and_one_is_forgotten(hub: Link, signer: Link):
    old, new = make(signer), make(signer, "two")
    for each in (old, new, new):
        hub.accept(each.pem.encode(), NOW)
    assert {each.fingerprint for each in hub.accepted()} == {old.fingerprint, new.fingerprint}

    with_colons = ":".join(old.fingerprint[n : n + 2] for n in range(0, 64, 2)).upper()
    assert hub.forget(with_colons) == old
    assert hub.accepted() == (new,)


def test_nobody_is_accepted_before_somebody_is(hub: Link):
    assert hub.accepted() == ()


def test_more_than_a_few_are_not_accepted(hub: Link, tmp_path: Path):
    for number in range(ACCEPTED_MAX):
        hub.accept(pem(Link(tmp_path / f"{number}", End.SIGNER)), NOW)
    with pytest.raises(LinkRefused, match="forget one first"):
        hub.accept(pem(Link(tmp_path / "another", End.SIGNER)), NOW)
    (hub.folder / "accepted" / f"{'0' * 64}.pem").write_bytes(b"")
    with pytest.raises(KeyFileError, match="more than"):
        hub.accepted()


def test_a_file_that_somebody_changed_is_not_believed(hub: Link, signer: Link):
    hub.accept(pem(signer), NOW)
    [name] = hub.accepted_names()
    (hub.folder / "accepted" / f"{name}.pem").write_bytes(pem(signer, "two"))
    with pytest.raises(KeyFileError, match="not named by"):
        hub.accepted()


def test_a_certificate_is_in_force_for_as_long_as_it_says(hub: Link):
    made = make(hub)
    for moment in (made.begins, NOW, made.ends - timedelta(seconds=1)):
        require_in_force(made, "this hub's", moment)
    for moment in (made.begins - timedelta(seconds=1), made.ends):
        with pytest.raises(LinkRefused):
            require_in_force(made, "this hub's", moment)


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (lambda hub, signer: hub.switch(), "no certificate waits"),
        (lambda hub, signer: hub.current(), "has no such certificate"),
        (lambda hub, signer: make(hub, ""), "a name has"),
        (lambda hub, signer: make(hub, "x" * 65), "a name has"),
        (lambda hub, signer: hub.accept(pem(hub), NOW), "not the certificate of a signer"),
        (lambda hub, signer: signer.accept(pem(signer), NOW), "not the certificate of a hub"),
        (lambda hub, signer: hub.accept(pem(signer), NOW + YEAR), "the certificate has ended on"),
        (lambda hub, signer: hub.accept(b"-----BEGIN", NOW), "not exactly one"),
        (lambda hub, signer: hub.accept(pem(signer) + pem(signer), NOW), "not exactly one"),
        (lambda hub, signer: hub.forget("0000"), "at least 8 digits"),
        (lambda hub, signer: hub.forget("00000000"), "at least 8 digits"),
        (
            lambda hub, signer: require_in_force(make(hub), "this hub's", NOW + YEAR),
            "has ended on 2027-11-22 08:00 UTC",
        ),
        (
            lambda hub, signer: require_in_force(make(hub), "this hub's", NOW - YEAR),
            "begins only on",
        ),
        (
            lambda hub, signer: require_in_force(make(signer), "the signer's own", NOW + YEAR),
            "has ended on",
        ),
    ],
)
def test_what_is_wrong_is_said_in_both_languages(hub: Link, signer: Link, refused, said: str):
    with pytest.raises((LinkRefused, KeyFileError), match=said) as error:
        refused(hub, signer)
    speak(Language.VI)
    try:
        assert in_words(str(error.value)) != str(error.value)
    finally:
        speak(Language.EN)
