"""The `lienthong` command: its nouns, its language, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer

from hub.cli.console import print_what_the_terminal_cannot_show_as_escapes, say, shown, stderr
from hub.cli.errors import explain, show
from hub.cli.messages import Language, _, language, language_of, speak
from hub.cli.sentences import in_words

_FAILED, _WRONG_USE, _INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 a wrong command line."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    print_what_the_terminal_cannot_show_as_escapes()
    speak(_asked_for(arguments) or language_of(os.environ))
    command = build(arguments)
    try:
        return command.main(arguments, prog_name="lienthong", standalone_mode=False) or 0
    except typer.Abort:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; Python must not write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except Exception as error:
        return _failed(error)


def build(arguments: Sequence[str] = ()) -> Any:
    """The command with all its subcommands, in the language that is spoken.

    With the one subcommand only that these arguments begin with, if there is such a one: the
    others would be loaded for nothing.
    """
    command = typer.main.get_command(_app(_named(arguments)))
    for member in all_below(command):
        member.help = in_language(member.help)
        for parameter in parameters(member):
            parameter.help = in_language(getattr(parameter, "help", None))
    if language() is not Language.EN:
        _name_panels()
    return command


def in_language(text: str | None) -> str | None:
    """A help text, paragraph by paragraph, whatever its line breaks."""
    return text and "\n\n".join(_(paragraph) for paragraph in paragraphs(text))


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a help text as the catalogue has them."""
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]


def _app(wanted: str | None) -> typer.Typer:
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_lienthong)
    for name, module in _COMMANDS.items():
        if wanted in (None, name):
            app.command(name)(getattr(import_module(f"hub.cli.{module}"), name))
    for name, group in _GROUPS.items():
        if wanted in (None, name):
            app.add_typer(group(), name=name)
    return app


def _agencies() -> typer.Typer:
    from hub.cli import agency, agency_changes, group, revocation

    agencies = typer.Typer(no_args_is_help=True, help="Register agencies and their certificates.")
    agencies.command("add")(agency.add)
    agencies.command("enrol")(agency.enrol)
    agencies.command("revoke")(revocation.revoke)
    agencies.command("list")(agency.list_)
    agencies.command("rename")(agency_changes.rename)
    agencies.command("suspend")(agency_changes.suspend)
    agencies.command("reinstate")(agency_changes.reinstate)
    agencies.command("succeed")(agency_changes.succeed)
    agencies.command("search")(agency_changes.search)
    groups = typer.Typer(no_args_is_help=True, help="Keep named lists of agencies.")
    groups.command("set")(group.set_)
    groups.command("list")(group.list_)
    agencies.add_typer(groups, name="group")
    return agencies


def _certificates() -> typer.Typer:
    from hub.cli import certificate

    certificates = typer.Typer(no_args_is_help=True, help="See to the agency's own certificates.")
    certificates.callback()(certificate.certificates)
    certificates.command("renew")(certificate.renew)
    return certificates


def _development_authority() -> typer.Typer:
    from hub.cli import ca

    authority = typer.Typer(
        no_args_is_help=True, help="Rehearse with an authority of your own: NOT FOR PRODUCTION."
    )
    for command in (ca.new, ca.issue, ca.revoke, ca.crl, ca.serve):
        authority.command()(command)
    return authority


def _axis() -> typer.Typer:
    from hub.cli import axis, relays

    axes = typer.Typer(no_args_is_help=True, help="Work with packages of the national axis.")
    axes.command("status")(relays.status)
    axes.command("retry")(relays.retry)
    axes.command("park")(relays.park)
    axes.command("resume")(relays.resume)
    axes.command("reconcile")(relays.reconcile)
    axes.command("import")(axis.import_)
    axes.command("export")(axis.export)
    axes.command("simulate")(axis.simulate)
    return axes


def _calendars() -> typer.Typer:
    from hub.cli import calendar

    calendars = typer.Typer(no_args_is_help=True, help="Correct the calendar of working days.")
    calendars.command("set")(calendar.set_)
    calendars.command("list")(calendar.list_)
    return calendars


def _operators() -> typer.Typer:
    from hub.cli import operators

    operator = typer.Typer(no_args_is_help=True, help="Let operators in and put them out.")
    operator.command("enrol")(operators.enrol)
    operator.command("revoke")(operators.revoke)
    operator.command("list")(operators.list_)
    return operator


def _erasure() -> typer.Typer:
    from hub.cli import erase

    erasure = typer.Typer(
        no_args_is_help=True, help="Erase documents by law, two operators together."
    )
    erasure.command("order")(erase.order)
    erasure.command("approve")(erase.approve)
    erasure.command("list")(erase.list_)
    return erasure


def _retention() -> typer.Typer:
    from hub.cli import retention

    kept = typer.Typer(no_args_is_help=True, help="Erase what need not be kept any longer.")
    kept.command("plan")(retention.plan)
    kept.command("order")(retention.order)
    kept.command("approve")(retention.approve)
    return kept


def _evidence() -> typer.Typer:
    from hub.cli import evidence, report

    kept = typer.Typer(no_args_is_help=True, help="Keep what was signed as files that stand alone.")
    kept.command("statement")(evidence.statement)
    kept.command("bundle")(evidence.bundle)
    kept.command("report")(report.report)
    return kept


def _ledgers() -> typer.Typer:
    from hub.cli import checkpoints, ledger, reopen, restore, timestamps

    ledgers = typer.Typer(no_args_is_help=True, help="Check, export and follow a hub's log.")
    ledgers.command("fsck")(ledger.fsck)
    ledgers.command("restore")(restore.restore)
    ledgers.command("plan-reopening")(reopen.plan_reopening)
    ledgers.command("sign-reopening")(reopen.sign_reopening)
    ledgers.command("reopen")(reopen.reopen)
    ledgers.command("export")(ledger.export)
    ledgers.command("verify-export")(ledger.verify_export)
    ledgers.command("checkpoint")(checkpoints.checkpoint)
    ledgers.command("watch")(checkpoints.watch)
    ledgers.command("trust")(ledger.trust)
    ledgers.command("timestamps")(timestamps.timestamps)
    return ledgers


def _configurations() -> typer.Typer:
    from hub.cli import config

    settings = typer.Typer(no_args_is_help=True, help="See to the settings of a hub.")
    # A callback keeps the one command below the noun.
    settings.callback()(_see_to_settings)
    settings.command("check")(config.check)
    return settings


def _see_to_settings() -> None:
    """See to the settings of a hub."""


def _witnesses() -> typer.Typer:
    from hub.cli import witness

    witnesses = typer.Typer(
        no_args_is_help=True, help="Watch the logs of others, and cosign them while they only grow."
    )
    witnesses.command("init")(witness.init)
    witnesses.command("serve")(witness.serve)
    return witnesses


def _keys() -> typer.Typer:
    from hub.cli import custody, keys

    of_hub = typer.Typer(
        no_args_is_help=True, help="Lead the hub's own keys, and seal private keys where they lie."
    )
    of_hub.command("list")(keys.list_)
    of_hub.command("plan")(keys.plan)
    of_hub.command("announce")(keys.announce)
    of_hub.command("activate")(keys.activate)
    of_hub.command("retire")(keys.retire)
    of_hub.command("compromise")(keys.compromise)
    of_hub.command("approve")(keys.approve)
    of_hub.command("freeze")(keys.freeze)
    of_hub.command("thaw")(keys.thaw)
    of_hub.command("signed")(keys.signed)
    of_hub.command("protect")(custody.protect)
    of_hub.command("unprotect")(custody.unprotect)
    return of_hub


def _trusted_roots() -> typer.Typer:
    from hub.cli import trust

    roots = typer.Typer(no_args_is_help=True, help="Sign and publish the trusted root.")
    roots.command("draft")(trust.draft)
    roots.command("show")(trust.show)
    roots.command("sign")(trust.sign)
    roots.command("publish")(trust.publish)
    return roots


def _signers() -> typer.Typer:
    from hub.cli import signer, signer_link

    signers = typer.Typer(
        no_args_is_help=True, help="Sign checkpoints in a process of its own, apart from the hub."
    )
    signers.command("serve")(signer.serve)
    links = typer.Typer(
        no_args_is_help=True, help="Let hubs and a signer on another machine know each other."
    )
    for command in (signer_link.make, signer_link.accept, signer_link.switch,
                    signer_link.forget, signer_link.show):  # fmt: skip
        links.command()(command)
    signers.add_typer(links, name="link")
    return signers


def _auditors() -> typer.Typer:
    from hub.cli import auditor, revocation

    auditors = typer.Typer(no_args_is_help=True, help="Let auditors in.")
    auditors.command("enrol")(auditor.enrol)
    auditors.command("revoke")(revocation.revoke_auditor)
    return auditors


def _audits() -> typer.Typer:
    from hub.cli import audit, audit_rebuild

    audits = typer.Typer(no_args_is_help=True, help="Replay history, as an auditor.")
    audits.command("events")(audit.events)
    audits.command("document")(audit.document)
    audits.command("state")(audit.state)
    audits.command("rebuild")(audit_rebuild.rebuild)
    return audits


# In the order of the help. Each command is a function of its own name in that module; modules are
# loaded only for the command that is run, or for help that shows them all.
_COMMANDS: Mapping[str, str] = {
    "demo": "demo", "init": "init", "serve": "serve", "migrate": "migrate", "send": "send",
    "inbox": "inbox", "fetch": "fetch", "status": "status", "outbox": "outbox",
    "recall": "recall", "answer": "recall", "verify": "verify",
    "received": "lists", "sent": "lists", "stats": "stats", "health": "health",
}  # fmt: skip
_GROUPS: Mapping[str, Callable[[], typer.Typer]] = {
    "agency": _agencies, "certificate": _certificates, "ca": _development_authority,
    "calendar": _calendars, "operator": _operators, "erase": _erasure, "retention": _retention,
    "evidence": _evidence, "axis": _axis, "ledger": _ledgers, "witness": _witnesses, "keys": _keys,
    "config": _configurations, "trust": _trusted_roots,
    "signer": _signers, "auditor": _auditors, "audit": _audits,
}  # fmt: skip


def _print_version(asked: bool) -> None:
    if asked:
        print(f"lienthong {version('lienthong')}")
        raise typer.Exit


def _lienthong(
    lang: Annotated[
        Language | None, typer.Option(help="The language to speak; the locale's if left out.")
    ] = None,
    version_: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Exchange signed documents between agencies, with receipts that anyone can check."""
    # `main` has read `lang` already: help and errors need it before anything is parsed.


def _asked_for(arguments: Sequence[str]) -> Language | None:
    """The language asked for before the subcommand: help and errors need it before parsing."""
    options, _word = _before_the_command(arguments)
    value = next((value for option, value in options if option == "--lang"), None)
    return Language(value) if value in set(Language) else None


def _named(arguments: Sequence[str]) -> str | None:
    """The subcommand that these arguments run; None where they ask for help, or it is unknown."""
    options, word = _before_the_command(arguments)
    is_known = word in _COMMANDS or word in _GROUPS
    return word if is_known and all(option == "--lang" for option, _value in options) else None


def _before_the_command(arguments: Sequence[str]) -> tuple[list[tuple[str, str]], str]:
    """The options before the first other word, each with its value, and that word."""
    options: list[tuple[str, str]] = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return options, word
        option, equals, value = word.partition("=")
        if option == "--lang" and not equals:
            value = next(words, "")
        options.append((option, value))
    return options, ""


def all_below(command: Any) -> Iterator[Any]:
    """A command and every subcommand of it."""
    yield command
    for child in getattr(command, "commands", {}).values():
        yield from all_below(child)


def parameters(command: Any) -> list[Any]:
    """Arguments and options of a command, its `--help` included."""
    # Made when somebody first asks for it, and then kept.
    return [*command.params, command.get_help_option(typer.Context(command))]


def _name_panels() -> None:
    # Typer has no other way to say these in a language of ours. It loads them, and much of
    # Rich with them, only for help; so do we where they are right already.
    from typer import rich_utils

    rich_utils.ARGUMENTS_PANEL_TITLE = _("Arguments")
    rich_utils.OPTIONS_PANEL_TITLE = _("Options")
    rich_utils.COMMANDS_PANEL_TITLE = _("Commands")
    rich_utils.DEFAULT_STRING = _("[default: {}]")
    rich_utils.ENVVAR_STRING = _("[env var: {}]")
    rich_utils.REQUIRED_LONG_STRING = _("[required]")


def _failed(error: Exception) -> int:
    if isinstance(error, typer.TyperException):
        return _wrong_use(error)
    if (explanation := explain(error)) is None:
        raise error
    show(explanation)
    return _FAILED


def _wrong_use(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    # Where a command was called with nothing, its help has been printed already.
    if message := error.format_message():
        if context is not None:
            say(context.get_usage(), to=stderr())
        lead = _("Error: {sentence}", sentence=shown(in_words(message)))
        say(lead, style="bold red", to=stderr())
        if context is not None:
            say(_("`{command} --help` says more.", command=context.command_path), to=stderr())
    # An auditor's 2 is mild, "not checked"; a mistyped command must not pass for it.
    is_verify = context is not None and context.command.name == "verify"
    return _FAILED if is_verify else _WRONG_USE


if __name__ == "__main__":
    sys.exit(main())
