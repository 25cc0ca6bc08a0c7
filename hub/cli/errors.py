"""What went wrong and what to do next, in the words of the person at the keyboard."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from hub.cli.console import say, shown, stderr
from hub.cli.messages import N_, _
from hub.cli.sentences import in_words
from hub.errors import HubError, LedgerMismatch, Procedure, VerificationFailed


class CommandFailed(Exception):
    """A command that cannot do what it was asked; sentence and advice are in words already."""

    def __init__(self, reason: str, sentence: str, advice: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Explanation:
    """An error as it is shown: a stable reason, one sentence, details, and what to do."""

    reason: str
    sentence: str
    details: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class _Words:
    reason: str
    sentence: str
    advice: str


# The hub's refusals. A test holds the table to `hub.errors`.
REFUSALS: dict[str, tuple[str, str]] = {
    "STATEMENT_MALFORMED": (
        N_("The statement does not have the form that its kind prescribes."),
        N_("Correct the field that is named and send again."),
    ),
    "REQUEST_MALFORMED": (
        N_("A value of the call is missing or not of its kind."),
        N_("Correct the value that is named and repeat the command."),
    ),
    "TOO_LARGE": (
        N_("Something is larger than this hub takes."),
        N_("Make the files smaller: each may have 2 GiB."),
    ),
    "WRONG_HUB": (
        N_("The statement was made for another hub."),
        N_("In the profile, make `hub` the origin of the hub behind `target`."),
    ),
    "AGENCY_MISMATCH": (
        N_("The statement speaks for another agency than the connection belongs to."),
        N_("Use the `agency`, the signing key and the transport certificate of one agency."),
    ),
    "REQUEST_ID_REUSED": (
        N_("This request id already carried another statement."),
        N_("Use a new request id for a new statement."),
    ),
    "SECRET_DOCUMENT": (
        N_("Documents marked as state secrets are not exchanged here (QĐ 28/2018/QĐ-TTg Art. 1)."),
        N_("Send it by the way that is prescribed for state secrets."),
    ),
    "KEY_UNKNOWN": (
        N_("No certificate with this key is enrolled for the agency."),
        N_("Have the hub's operator enrol the signing certificate, or use the enrolled key."),
    ),
    "KEY_NOT_YET_VALID": (
        N_("The validity of the signing certificate has not begun."),
        N_("Sign with the certificate that is valid now, or wait until this one is."),
    ),
    "KEY_EXPIRED": (
        N_("The validity of the signing certificate has ended."),
        N_("Have a new certificate issued and enrolled, then sign with it."),
    ),
    "SIGNATURE_INVALID": (
        N_("The signature does not fit the statement and the enrolled key."),
        N_("Check the signing key and its algorithm in the profile."),
    ),
    "CERTIFICATE_UNSUITABLE": (
        N_("This certificate cannot be enrolled."),
        N_("Have one issued that meets what is said, by an authority the hub trusts."),
    ),
    "KEY_TAKEN": (
        N_("The key is enrolled already, for this or for another principal."),
        N_("Make a new key: every certificate has one of its own."),
    ),
    "CONTENT_MISSING": (
        N_("The envelope names content that was not sent along."),
        N_("Send the document again with all its attachments."),
    ),
    "DIGEST_MISMATCH": (
        N_("Content does not hash to what the envelope says, or has another size."),
        N_("Send the document again; if it happens twice, ask for your software to be checked."),
    ),
    "UPLOAD_UNKNOWN": (
        N_("The hub has no such upload of this agency, or has it no longer."),
        N_("Send the document again."),
    ),
    "CONTENT_LOST": (
        N_("Accepted content can no longer be read from the hub's disk."),
        N_("Tell the hub's operator, and ask the sender for the document."),
    ),
    "PAYLOAD_ERASED": (
        N_("The document was erased by law: its words and content are gone for good."),
        N_("There is nothing to do; receipts of it are still good."),
    ),
    "NOT_COLLECTED": (
        N_("Content is released only to those who have signed for the document."),
        N_("Fetch the document with `lienthong fetch`."),
    ),
    "CONTENT_WITHHELD": (
        N_("The document was recalled, or it expired before it was collected."),
        N_("Answer an open recall with `lienthong answer`; else ask the sender for the document."),
    ),
    "RECALL_NOT_OPEN": (
        N_("There is no recall of this document that waits for an answer."),
        N_("Look at it with `lienthong status`: the first answer to a recall stands."),
    ),
    "RECALL_ASKED_ALREADY": (
        N_("This document was recalled before; the first recall stands."),
        N_("Watch for the answers with `lienthong outbox`."),
    ),
    "CASE_REFERENCE_MISSING": (
        N_("Subject, reasons and content are shown to an auditor for a case only."),
        N_("Name the case with `--case`; the hub records who read what for it."),
    ),
    "PRINCIPAL_UNKNOWN": (
        N_("The transport certificate is trusted but enrolled for nobody."),
        N_("Have the hub's operator enrol it, or use the one that is enrolled."),
    ),
    "ROLE_NOT_PERMITTED": (
        N_("Whoever this profile belongs to may not do this."),
        N_("Use an agency's profile for documents, the operator's or an auditor's for their own."),
    ),
    "NOT_A_PARTY": (
        N_("The agency takes part in this exchange, but not in the role that this needs."),
        N_("Check the exchange: recipients collect, report and answer; the sender recalls."),
    ),
    "RECIPIENT_UNKNOWN": (
        N_("Some recipients are not registered with this hub; nothing was sent to anyone."),
        N_("Correct the codes that are named and send again."),
    ),
    "AGENCY_UNKNOWN": (
        N_("No agency with this code is registered."),
        N_("Look the code up with `lienthong agency list`, or register the agency first."),
    ),
    "AGENCY_EXISTS": (
        N_("An agency with this code is registered already."),
        N_("Look at it with `lienthong agency list`."),
    ),
    "EXCHANGE_UNKNOWN": (
        N_("There is no such exchange, or the agency takes no part in it."),
        N_("Check the id; `lienthong inbox --json` lists the exchanges that came in."),
    ),
    "REQUEST_UNKNOWN": (
        N_("The hub has accepted no statement of this agency under this request id."),
        N_("Check the request id, or send the statement."),
    ),
    "POSITION_UNKNOWN": (
        N_("There is no such position in the log, or the entry is not for this caller."),
        N_("Ask for a position below the newest checkpoint, of an own document."),
    ),
    "NUMBER_UNKNOWN": (
        N_("This number is beyond the last one of the inbox or outbox."),
        N_("Read on after the last number there is; if it was given before, ask the operator."),
    ),
    "RECEIPT_DELAYED": (
        N_("The statement is recorded, but its receipt is not ready yet."),
        N_("Repeat the command in a moment: the same statement gets its receipt."),
    ),
    "UNAVAILABLE": (
        N_("The hub cannot take this now, or does not know whether it did."),
        N_("Repeat the command later."),
    ),
    "LOG_FROZEN": (
        N_("The hub's log is frozen: nothing is accepted."),
        N_("Wait for word from the hub's operator."),
    ),
    "OVERLOADED": (
        N_("The hub has too much to do, or too much of it from this agency."),
        N_("Repeat the command in a moment."),
    ),
    "AGENCY_SUSPENDED": (
        N_("An agency that is suspended neither sends nor is sent to; nothing was sent to anyone."),
        N_("Leave out the suspended recipients, or wait until they are reinstated."),
    ),
    "AGENCY_SUCCEEDED": (
        N_("Another agency has taken over from this one."),
        N_("Work with the successor: it sends and answers now."),
    ),
    "AGENCY_NOT_SUSPENDED": (
        N_("The agency is not suspended."),
        N_("There is nothing to do."),
    ),
    "KEY_REVOKED": (
        N_("The certificate of this key was revoked."),
        N_("Sign with another key that is enrolled, or have a new certificate enrolled."),
    ),
    "POSSESSION_UNPROVEN": (
        N_("Nothing proves that the agency holds the key of the new certificate."),
        N_("Give the private key that belongs to the certificate, and its algorithm."),
    ),
    "DOCUMENT_SIGNATURE_INVALID": (
        N_("The document must carry valid signatures, and does not."),
        N_("Have it signed anew with certificates in force, by the person and the agency."),
    ),
    "REVOCATION_STALE": (
        N_("The hub has no recent word on revocation from the certificate's issuer."),
        N_("Repeat the command later; the hub's operator can look into it."),
    ),
    "AUDITOR_UNKNOWN": (
        N_("No auditor of this name is in force."),
        N_("Check the name: it is the one that the auditor was enrolled under."),
    ),
    "ORDER_UNKNOWN": (
        N_("No operator gave an order with this digest."),
        N_("Look at the open orders with `lienthong erase list --open`."),
    ),
    "ORDER_LAPSED": (
        N_("The order's time is over, or who gave it is no longer an operator."),
        N_("Order it anew, and have it approved within seven days."),
    ),
    "ORDER_EXECUTED": (
        N_("The order was approved before, and has been carried out."),
        N_("There is nothing to do."),
    ),
    "SECOND_OPERATOR_NEEDED": (
        N_("Another operator must approve, and one whom the first did not let in."),
        N_("Have it approved by an operator of another line: `lienthong operator list`."),
    ),
    "HUB_KEY_UNKNOWN": (
        N_("No key of the hub is this one."),
        N_("Look at `lienthong keys list`."),
    ),
    "HUB_KEY_STATE": (
        N_("The key is not where this step begins."),
        N_("Look at `lienthong keys list` and `lienthong keys plan`."),
    ),
    "LOG_NOT_FROZEN": (
        N_("No operator has frozen the log."),
        N_("There is nothing to do."),
    ),
    "TRUSTED_ROOT_REFUSED": (
        N_("This cannot be the next edition of the trusted root."),
        N_("Have the newest draft signed: `lienthong trust draft`."),
    ),
    "OPERATOR_UNKNOWN": (
        N_("No operator of this name, or with this certificate, is in force."),
        N_("Look at `lienthong operator list`."),
    ),
    "OPERATOR_EXISTS": (
        N_("Another operator has this name, or had it."),
        N_("Choose another name: only its holder enrols further certificates for it."),
    ),
    "RELAY_UNKNOWN": (
        N_("There is no package with this id."),
        N_("Look at `lienthong axis status`."),
    ),
    "RELAY_NOT_OPEN": (
        N_("The package is over, or in another state than this is for."),
        N_("Look at `lienthong axis status`: there may be nothing to do."),
    ),
    "AXIS_UNAVAILABLE": (
        N_("The national axis gave no usable answer; nothing was recorded."),
        N_("Try again later; `lienthong axis status` says whether it is reached at all."),
    ),
    "AXIS_NOT_CONFIGURED": (
        N_("This hub is connected to no axis."),
        N_("Set `axis` in its hub.toml, and start it again."),
    ),
}

# All other failures, by the name of their class: a command that only talks to a hub must not
# load the classes of one that runs it. A test holds each name to its class.
FAILURES: dict[str, tuple[str, str, str]] = {
    "ForkDetected": (
        "FORK_DETECTED",
        N_("The hub has signed two histories that contradict each other."),
        N_("Stop. Keep the state folder of the profile as it is and hand it to an auditor."),
    ),
    "LogShrank": (
        "LOG_SHRANK",
        N_("The log is smaller than it was when it was last signed: its end was cut off."),
        N_("Stop. Keep the state folder as it is and hand it to an auditor."),
    ),
    "LogUnreachable": (
        "LOG_UNREACHABLE",
        N_("The log cannot be read there."),
        N_("Check the folder or address, and who may read it: entries are for auditors."),
    ),
    "ExportRefused": (
        "EXPORT_REFUSED",
        N_("The folder cannot take this export."),
        N_("Name a new folder. If this one holds other history of the same log, keep it as it is."),
    ),
    "InboxGap": (
        "INBOX_GAP",
        N_("The numbers of the inbox have a gap: a document was withheld or shown twice."),
        N_("Stop, and report this to the hub's operator and to an auditor."),
    ),
    "OutboxGap": (
        "OUTBOX_GAP",
        N_("The numbers of the outbox have a gap: news of a document was left out or told twice."),
        N_("Stop, and report this to the hub's operator and to an auditor."),
    ),
    "AnotherLog": (
        "ANOTHER_LOG",
        N_("The hub keeps another log than the profile names."),
        N_(
            "If its log was reopened, get the new trusted root by a way of its own, set `hub` and "
            "a new `state` in the profile, and ask from which number on to read; else stop."
        ),
    ),
    "VerificationFailed": (
        "VERIFICATION_FAILED",
        N_("A piece of evidence does not hold."),
        N_("Do not rely on it. Check the trusted root; if that is right, call an auditor."),
    ),
    "LedgerMismatch": (
        "LEDGER_MISMATCH",
        N_("What is stored contradicts itself or the signer's memory; the hub does not serve."),
        N_(
            "Change nothing, copy the folder as it is, run `lienthong ledger fsck`, and follow "
            "the procedure that is named."
        ),
    ),
    "HubUnreachable": (
        "HUB_UNREACHABLE",
        N_("The hub cannot be reached."),
        N_("Check that the hub runs and that `target` in the profile is its address."),
    ),
    "UnexpectedAnswer": (
        "UNEXPECTED_ANSWER",
        N_("The answer is not one a hub of this version gives."),
        N_("Check that `target` is a hub, and that its version and this one fit."),
    ),
    "ProfileInvalid": (
        "PROFILE_INVALID",
        N_("The profile, or a file it names, cannot be used."),
        N_("Correct the profile; `lienthong init` makes complete ones to compare with."),
    ),
    "StateInUse": (
        "STATE_IN_USE",
        N_("Another program is working with this profile's state folder."),
        N_("Wait until it has ended, or give each program a profile with its own state."),
    ),
    "StateDamaged": (
        "STATE_DAMAGED",
        N_("A file in the profile's state folder is not as it was written; nothing was sent."),
        N_("Keep the folder for whoever looks into it, and restore it or name a new one."),
    ),
    "JournalFull": (
        "JOURNAL_FULL",
        N_("Too many signed statements are waiting for the hub."),
        N_("Wait until the hub can be reached; the next command sends them first."),
    ),
    "ConfigInvalid": (
        "CONFIG_INVALID",
        N_("The settings of the hub cannot be used."),
        N_("Correct what is named. Where there is no hub yet, `lienthong init` makes one."),
    ),
    "FolderBusy": (
        "FOLDER_BUSY",
        N_("Another process is using this hub's folder."),
        N_("Stop the hub that runs on it first."),
    ),
    "DatabaseUnreachable": (
        "DATABASE_UNREACHABLE",
        N_("The database server cannot be reached, or has no such database."),
        N_("Start it, or correct `database_url`; below the error stands what the server said."),
    ),
    "ContentUnreachable": (
        "CONTENT_UNREACHABLE",
        N_("The bucket with the attachments cannot be asked."),
        N_("See that it is there and who may use it; `content_url` names it."),
    ),
    "ContentUnfit": (
        "CONTENT_UNFIT",
        N_("The bucket keeps what is deleted; nothing in it could be erased by law."),
        N_("Give the hub a bucket that never had versions and locks no objects."),
    ),
    "NoLongerLeading": (
        "DEPOSED",
        N_("Another hub has taken over the database; this one has ended."),
        N_("Nothing that was acknowledged is lost. Start it again with `--join` or `--standby`."),
    ),
    "StoreMissing": (
        "STORE_MISSING",
        N_("A store of the hub is not where it lies; the hub does not serve."),
        N_("Mount it or put it back; procedure R5 of docs/operations.md says what else there is."),
    ),
    "FolderNotEmpty": (
        "FOLDER_NOT_EMPTY",
        N_("The folder is not empty."),
        N_("Name a folder that does not exist yet."),
    ),
    "KeyFileError": (
        "KEY_FILE",
        N_("A key of the hub cannot be read."),
        N_("Restore the file that is named from its own backup, readable by its owner only."),
    ),
    "KeyNotProtected": (
        "KEY_NOT_PROTECTED",
        N_("A key lies in plain, where the settings say that keys are sealed."),
        N_("Seal it with `lienthong keys protect`; if anyone may have read it, replace it."),
    ),
    "KeyProtected": (
        "KEY_PROTECTED",
        N_("A key is sealed, where the settings say that keys lie in plain."),
        N_('Set `custody = "age"`, or put the key in plain with `lienthong keys unprotect`.'),
    ),
    "KeySecretMissing": (
        "KEY_SECRET_MISSING",
        N_("Keys are sealed, and there is no passphrase, identity or PIN to open them."),
        N_("Give it by a file, the environment or at a terminal, as the message says."),
    ),
    "KeySecretWrong": (
        "KEY_SECRET_WRONG",
        N_("The passphrase, identity or PIN does not open the keys."),
        N_("Give the right one; if it is right, restore the file that is named."),
    ),
    "RecipientsInvalid": (
        "RECIPIENTS_INVALID",
        N_("Keys cannot be sealed for these recipients."),
        N_("Name the age recipient (age1…) of each operator; `age-keygen -y` prints it."),
    ),
    "SignerUnreachable": (
        "SIGNER_UNREACHABLE",
        N_("The signer's process does not answer."),
        N_("Start it with `lienthong signer serve`, and check `signer` in the settings."),
    ),
    "SignerNotTrusted": (
        "SIGNER_NOT_TRUSTED",
        N_("Who answers as the signer shows a certificate that this hub does not accept."),
        N_("Compare the signer's fingerprint; if it is new, `lienthong signer link accept` it."),
    ),
    "SignerTurnsAway": (
        "SIGNER_TURNS_AWAY",
        N_("The signer does not accept this hub's certificate."),
        N_("Let it in at the signer with `lienthong signer link accept`."),
    ),
    "SignerCertificateEnded": (
        "SIGNER_CERTIFICATE",
        N_("A certificate between hub and signer is not in force."),
        N_("Make a new one with `lienthong signer link make`; if it is good, look at the clocks."),
    ),
    "SignerLinkBroken": (
        "SIGNER_LINK",
        N_("This hub's certificate or key for the signer cannot be used."),
        N_("See what is there with `lienthong signer link show`, and mend what is named."),
    ),
    "LinkRefused": (
        "LINK_REFUSED",
        N_("That cannot be done with the certificates between hub and signer."),
        N_("See what is there with `lienthong signer link show`; nothing was changed."),
    ),
    "TokenUnavailable": (
        "TOKEN_UNAVAILABLE",
        N_("The token with the hub's keys cannot be used."),
        N_("Put it in, and check `pkcs11_module`, `pkcs11_token` and its PIN."),
    ),
    "WitnessStateError": (
        "WITNESS_STATE",
        N_("The witness's folder cannot be used."),
        N_("Change nothing in it, and never restore it; in doubt make a new witness, and say so."),
    ),
    "SignerStoreError": (
        "SIGNER_STORE",
        N_("The signer's memory cannot be used."),
        N_("Change nothing, and never restore it together with the database; call an auditor."),
    ),
}

# The headings of docs/operations.md; a test holds the two together.
PROCEDURES: dict[Procedure, str] = {
    Procedure.DATABASE_BEHIND: N_("the database is older than the signer"),
    Procedure.SIGNER_BEHIND: N_("the signer's memory is older than the log, or lost"),
    Procedure.CHANGED: N_("what is stored was changed"),
    Procedure.ANOTHER_KEY: N_("the log key or the origin is another's"),
    Procedure.CONTENT_GONE: N_("content or its keys are gone"),
    Procedure.RESTORE: N_("restore from an export"),
    Procedure.REOPEN: N_("reopen the log"),
}

_PROCEDURE_WORDS = N_("Procedure {number} of docs/operations.md: {title}")

# What a person can use of a refusal's metadata, where the message does not say it already.
_TELLING = frozenset({"field", "first_digest", "hub", "limit"})

_STATEMENT_KEPT = N_(
    "What was signed is kept under request {request_id}; the next command with this profile "
    "sends the same bytes again. Do not send it a second time yourself."
)


def explain(error: Exception) -> Explanation | None:
    """The explanation of an error a person can act on, None for a bug."""
    if isinstance(error, CommandFailed):
        return Explanation(error.reason, str(error), (), error.advice)
    if isinstance(error, HubError):
        sentence, advice = REFUSALS[error.reason]
        return Explanation(error.reason, _(sentence), _details_of_refusal(error), _(advice))
    if words := _words_for(error):
        details = _details_of_failure(error)
        return Explanation(words.reason, _(words.sentence), details, _advice(error, words.advice))
    if isinstance(error, OSError) and error.strerror:
        return _explain_os_error(error)
    return None


def show(explanation: Explanation) -> None:
    """Print an explanation on stderr."""
    console = stderr()
    lead = _("Error: {sentence}", sentence=shown(explanation.sentence))
    say(f"{lead} [{explanation.reason}]", style="bold red", to=console)
    for detail in explanation.details:
        say(f"  {detail}", to=console)
    advice = _("What to do: {advice}", advice=explanation.advice)
    say(f"  {advice}", to=console)


def _words_for(error: Exception) -> _Words | None:
    for kind in type(error).__mro__:
        if kind.__name__ in FAILURES and kind.__module__.split(".")[0] in {"hub", "keys"}:
            return _Words(*FAILURES[kind.__name__])
    return None


def _advice(error: Exception, advice: str) -> str:
    words = _(advice)
    if request_id := getattr(error, "request_id", None):
        words = f"{words} {_(_STATEMENT_KEPT, request_id=request_id)}"
    return words


def _details_of_refusal(error: HubError) -> tuple[str, ...]:
    details = [_("In detail: {message}", message=shown(in_words(error.message)))]
    details += [
        f"{name}: {shown(value)}"
        for name, value in error.metadata.items()
        if name in _TELLING and value not in error.message
    ]
    return tuple(details)


def _details_of_failure(error: Exception) -> tuple[str, ...]:
    details = [shown(line.strip()) for line in in_words(str(error)).splitlines() if line.strip()]
    if isinstance(error, LedgerMismatch) and error.position is not None:
        details.append(_("First event that differs: {position}", position=error.position))
    if isinstance(error, LedgerMismatch):
        title = _(PROCEDURES[error.procedure])
        details.append(_(_PROCEDURE_WORDS, number=error.procedure.value, title=title))
    if isinstance(error, VerificationFailed):
        details.append(_("Step that failed: {step}", step=error.step))
    return tuple(details)


def _explain_os_error(error: OSError) -> Explanation:
    name = errno.errorcode.get(error.errno or 0, "FILE_ERROR")
    where = f"{error.filename}: " if error.filename else ""
    sentence = _("A file cannot be read or written.")
    details = (shown(f"{where}{error.strerror}"),)
    return Explanation(name, sentence, details, _("Check that it is there and who may use it."))
