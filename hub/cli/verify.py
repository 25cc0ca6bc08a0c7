"""`lienthong verify`: what `python -m hub.proof` finds and more, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.console import counting, say, speaker, stderr
from hub.cli.errors import CommandFailed
from hub.cli.log_source import reading
from hub.cli.messages import N_, _
from hub.cli.sentences import in_words
from hub.cli.session import JsonOption
from hub.errors import VerificationFailed
from hub.proof.__main__ import (
    EXIT_STATUS,
    Report,
    UnusableFile,
    print_json,
    shown,
    trust_in,
)
from hub.proof.checks import Checks
from hub.proof.findings import Findings, Verdict, worse
from hub.proof.folders import content_in, files_in, reason
from hub.proof.processes import PROCESSES_MAX, examine_by
from hub.proof.tiles import TiledLog, open_log
from hub.proof.together import Together
from hub.proof.trust import TrustedRoot

_VERDICTS = {
    Verdict.PROVEN: (N_("PROVEN"), "green"),
    Verdict.STATED: (N_("STATED"), "cyan"),
    Verdict.NOT_CHECKED: (N_("NOT CHECKED"), "yellow"),
    Verdict.REFUTED: (N_("REFUTED"), "bold red"),
}
_UNUSABLE = {
    "trusted root": N_("The trusted root cannot be used: {why}"),
    "policy": N_("The policy cannot be used: {why}"),
}
_OUTCOMES = {
    Verdict.PROVEN: N_("Everything is proven."),
    Verdict.NOT_CHECKED: N_("Nothing is refuted; some steps were not checked."),
    Verdict.REFUTED: N_("Something is refuted or cannot be read."),
}


TrustOption = Annotated[
    Path,
    typer.Option(
        metavar="ROOT",
        exists=True,
        dir_okay=False,
        help="The trusted root: the only thing believed; get it by a way you trust.",
    ),
]
EditionsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Later editions of the trusted root, as 2.json and so on: each that follows the one "
        "before it is believed.",
    ),
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Which witnesses must have seen every checkpoint (C2SP tlog-policy): your own.",
    ),
]
LogOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER_OR_URL",
        help="The log: an export, or an address that serves one. All must lie on it, and what "
        "stands between enrolment and document is read.",
    ),
]
ContentOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Where the attachments lie, each document's in a folder named like its exchange.",
    ),
]


def verify(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE_OR_FOLDER",
            help="Receipts and bundles, or folders: every *.receipt.json and *.bundle.json below.",
        ),
    ],
    trust: TrustOption,
    editions: EditionsOption = None,
    policy: PolicyOption = None,
    log: LogOption = None,
    content: ContentOption = None,
    processes: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=PROCESSES_MAX,
            help="Examine with so many processes; they find the same.",
        ),
    ] = 1,
    json_: JsonOption = False,
) -> None:
    """Find out what receipts and bundles prove, without the hub.

    Exit status: 0 all proven, 1 something refuted or unreadable, or a wrong command line,
    2 nothing refuted but something not checked.
    """
    # On one log is more than on one tree: with a log there is nothing left to compare.
    together = None if log else Together()
    opening = partial(_opening, believed(trust, policy, editions), log, content)
    with opening(together) as checks:
        # The tool that stands alone examines by the same code, so the two can never disagree
        # but where that one says NOT CHECKED.
        examined = examine_by(processes, files_in(files), checks, opening)
        report = _with_progress(files, examined)
        worst = print_json(report, together) if json_ else _show(report, together)
    raise typer.Exit(EXIT_STATUS[worst])


@contextmanager
def checking(
    trust: Path,
    *,
    editions: Path | None = None,
    policy: Path | None = None,
    log: str | None = None,
    content: Path | None = None,
    together: Together | None = None,
) -> Iterator[Checks]:
    """What an examination goes by. Raises CommandFailed for what cannot be used."""
    with _opening(believed(trust, policy, editions), log, content, together) as checks:
        yield checks


def believed(trust: Path, policy: Path | None, editions: Path | None) -> TrustedRoot:
    """The trusted root, with the verifier's own policy. Raises CommandFailed."""
    try:
        return trust_in(trust, policy, editions)
    except UnusableFile as error:
        raise CommandFailed(
            "UNUSABLE",
            _(_UNUSABLE[error.what], why=in_words(error.why)),
            _("Get it again, by a way you trust."),
        ) from error


@contextmanager
def _opening(
    trust: TrustedRoot, log: str | None, content: Path | None, together: Together | None
) -> Iterator[Checks]:
    # Libraries that build chains take a moment to load, and no other command needs them.
    from hub.evidence.judging import Judge

    look = content_in(content) if content else None
    with _opened(log, trust) as tiled:
        yield Checks(
            trust,
            log=tiled,
            beyond=Judge(trust, lambda: datetime.now(UTC)),
            content=look,
            together=together,
        )


@contextmanager
def _opened(log: str | None, trust: TrustedRoot) -> Iterator[TiledLog | None]:
    if log is None:
        yield None
        return
    with reading(log) as read:
        try:
            tiled = open_log(read, trust)
        except (OSError, VerificationFailed) as error:
            raise CommandFailed(
                "UNUSABLE",
                _("The log cannot be used: {why}", why=in_words(reason(error))),
                _("Without --log the files are examined by themselves."),
            ) from error
        yield tiled


def verdict_in_words(verdict: str) -> str:
    """A verdict of the auditor's tool for a person."""
    return _(_VERDICTS[Verdict(verdict)][0])


def outcome_in_words(verdict: Verdict) -> str:
    """What stands for all, in a sentence."""
    return _(_OUTCOMES[verdict])


def _show(report: Report, together: Together | None) -> Verdict:
    tell = speaker()
    worst = Verdict.PROVEN
    for path, findings in report:
        tell(shown(path), "bold")
        _show_findings(findings, tell)
        worst = worse(worst, findings.verdict)
    if together is not None and (found := together.findings()):
        tell(_("All files together"), "bold")
        _show_findings(found, tell)
    say(outcome_in_words(worst), style=_VERDICTS[worst][1])
    return worst


def _show_findings(findings: Findings, tell: Callable[[str, str], None]) -> None:
    width = max(len(_(word)) for word, _style in _VERDICTS.values())
    for finding in findings.items:
        word, style = _VERDICTS[finding.verdict]
        verdict = _(word).ljust(width)
        tell(f"  {finding.step}. {verdict}  {in_words(finding.text)}", style)


def _with_progress(paths: Sequence[Path], report: Report) -> Report:
    """The report, with a bar beside it where a person would wait; files are counted first."""
    if not stderr().is_terminal:
        yield from report
        return
    total = sum(1 for _found in files_in(paths))
    with counting(_("Files")) as progress:
        for done, entry in enumerate(report, start=1):
            yield entry
            progress(done, total)
