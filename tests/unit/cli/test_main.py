"""The command line itself: languages, help, and what a wrong one ends with."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from hub.cli import inbox
from hub.cli.main import build
from hub.cli.messages import Language, language_of


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, Language.EN),
        ({"LANG": "vi_VN.UTF-8"}, Language.VI),
        ({"LANG": "vi_VN.UTF-8", "LC_ALL": "en_US.UTF-8"}, Language.EN),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "vi"}, Language.VI),
        ({"LANG": "vi_VN.UTF-8", "LIENTHONG_LANG": "en"}, Language.EN),
        ({"LANG": "C", "LC_ALL": "", "LIENTHONG_LANG": "vi"}, Language.VI),
    ],
)
def test_the_language_is_the_environments(environment, language):
    assert language_of(environment) is language


def test_the_option_wins_over_the_environment(command, monkeypatch):
    monkeypatch.setenv("LANG", "vi_VN.UTF-8")
    assert "Exchange signed documents" in command("--lang", "en", "--help").out
    assert "Exchange signed documents" in command("--lang=en", "--help").out
    assert "Trao đổi văn bản ký số" in command("--help").out


def test_help_names_every_command_in_vietnamese(command):
    said = command("--lang", "vi", "--help").out
    assert "Lệnh" in said
    assert "Hiện trợ giúp này rồi kết thúc." in said
    for name in (
        "demo", "init", "serve", "migrate", "ledger", "agency", "send", "inbox", "fetch",
        "status", "outbox", "recall", "answer", "evidence", "verify",
    ):  # fmt: skip
        assert f" {name} " in said


@pytest.mark.parametrize(
    ("arguments", "built"),
    [
        (["send", "--help"], ["send"]),
        (["--lang", "vi", "--lang=en", "agency", "group", "list"], ["agency"]),
        (["--help", "send"], None),
        (["fetsh"], None),
        (["--lang"], None),
        ([], None),
    ],
)
def test_only_the_command_that_is_run_is_built_or_all_for_help(arguments, built):
    everything = list(build().commands)
    assert len(everything) > 20
    assert list(build(arguments).commands) == (built or everything)


def test_the_version_is_the_packages(command):
    ended = command("--version")
    assert (ended.status, ended.out) == (0, f"lienthong {version('lienthong')}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fetsh"], "Error: No such command 'fetsh'. Did you mean 'fetch'?"),
        (["inbox"], "Error: Missing option '--profile' (env var: 'LIENTHONG_PROFILE')."),
        (["inbox", "--nope"], "Error: No such option: --nope"),
        (["--lang", "xx", "inbox"], "'xx' is not one of 'vi', 'en'."),
        (["fetch", "1", "--into", "x", "y"], "Error:"),
        (["recall", "5", "--reason", "x"], "name the exchange by its id"),
        (["answer", "5", "perhaps"], "'perhaps' is not one of 'agree', 'refuse'."),
        (
            ["evidence", "statement", "5", "--out", "/nowhere/x", "--profile", "x"],
            "the folder for the receipt",
        ),
    ],
)
def test_a_wrong_command_line_is_2(command, arguments, said):
    ended = command(*arguments)
    assert ended.status == 2
    assert ended.out == ""
    assert said in ended.err
    assert "--help` says more." in ended.err
    assert "Traceback" not in ended.err


def test_a_wrong_command_line_is_said_in_vietnamese(command):
    ended = command("--lang", "vi", "send")
    assert "Lỗi: Thiếu đối số 'FILE'." in ended.err
    assert "Xem thêm: `lienthong send --help`." in ended.err
    ended = command("--lang", "vi", "status", "1", "09", "--profile", "x")
    assert "Giá trị của 'CODE' không hợp lệ: '09' không thuộc '01', '02'" in ended.err


def test_a_wrong_command_line_of_verify_never_passes_for_not_checked(command):
    assert command("verify").status == 1
    assert command("verify", "--trust", "/nowhere", "x").status == 1


def test_a_profile_that_is_not_there_is_a_sentence(command, tmp_path):
    ended = command("inbox", "--profile", tmp_path)
    assert ended.status == 1
    assert "[PROFILE_INVALID]" in ended.err
    assert f"{tmp_path}/profile.toml cannot be read: No such file or directory" in ended.err
    assert "What to do: " in ended.err


def test_a_bug_is_raised_and_not_dressed_up(command, monkeypatch, tmp_path):
    def broken(*_arguments):
        raise ValueError("a bug")

    monkeypatch.setattr(inbox, "run", broken)
    monkeypatch.setattr(inbox, "_list", lambda *_arguments: None)
    with pytest.raises(ValueError, match="a bug"):
        command("inbox", "--profile", tmp_path)


def test_an_interrupted_command_is_130(command, monkeypatch, tmp_path):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(inbox, "run", interrupted)
    monkeypatch.setattr(inbox, "_list", lambda *_arguments: None)
    assert command("inbox", "--profile", tmp_path).status == 130


def test_serving_a_folder_without_a_hub_says_how_to_make_one(command, tmp_path):
    for arguments in (["serve", tmp_path], ["migrate", tmp_path], ["ledger", "fsck", tmp_path]):
        ended = command(*arguments)
        assert ended.status == 1
        assert "[CONFIG_INVALID]" in ended.err
        assert f"make one with `lienthong init {tmp_path}`" in ended.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "nowhere"], "--listen takes an address and a port"),
        (["--listen", "127.0.0.1:70000"], "--listen takes an address and a port"),
        (["--listen", "0.0.0.0:8443"], "--host is missing"),
        (["--host", "hồ"], "--host takes a name in ASCII"),
    ],
)
def test_a_hub_that_nobody_could_reach_is_not_made(command, tmp_path, options, said):
    ended = command("init", tmp_path / "hub", *options)
    assert ended.status == 2
    assert said in ended.err
    assert not (tmp_path / "hub").exists()
