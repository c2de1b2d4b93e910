"""Failpoints: named places in the protocol where a worker can be told to die, so that tests can prove what survives.

``INCIDENTSCOPE_FAILPOINT=NAME[:NTH]`` ends the worker by SIGKILL when it comes to NAME for the NTH time (1 at first):
no clean-up, no flush, as a power cut of the process alone. Several, each with its own count, are joined by commas.
"""

from __future__ import annotations

from enum import StrEnum


class Failpoint(StrEnum):
    """Every failpoint, in the order in which a batch of the ingest stage passes them; the names are stable."""

    TAKEN = "ingest.taken"
    """A batch is taken from Kafka, nothing is done with it yet."""
    DECODED = "ingest.decoded"
    """Its records are in the folds; nothing of it has left the process."""
    WINDOWS_BEFORE = "windows.before"
    """Partials and stubs are about to be sent."""
    WINDOWS_AFTER = "windows.after"
    """The broker has them; their progress is not sent."""
    PROGRESS_AFTER = "progress.after"
    """The broker has the progress that speaks of them."""
    CLAIM_BEFORE = "claim.before"
    """Partitions are new to this worker; it has not taken their checkpoints over."""
    CLAIM_AFTER = "claim.after"
    """A new epoch is written; what the former owner left pending is not inserted again yet."""
    RECOVERY_BEFORE = "recovery.before"
    """What was pending is read again from Kafka and about to be inserted again."""
    RECOVERY_AFTER = "recovery.after"
    """It is stored and durable; nothing new is inserted yet."""
    PENDING_BEFORE = "pending.before"
    """The ranges of the next insert are about to be written."""
    PENDING_AFTER = "pending.after"
    """They are written; the insert has not begun."""
    INSERT_BEFORE = "insert.before"
    """The insert is about to be sent to ClickHouse."""
    INSERT_AFTER = "insert.after"
    """ClickHouse has answered; nobody else knows."""
    CHECKED = "insert.checked"
    """A repeated insert is counted, and taken back if it was not whole; a new one of its rows is not pending yet."""
    REJECTED = "insert.rejected"
    """ClickHouse has refused the insert; the halves are not pending yet."""
    LETTERS_BEFORE = "letters.before"
    """Dead letters are about to be sent."""
    LETTERS_AFTER = "letters.after"
    """The broker has the dead letters."""
    DURABLE_BEFORE = "durable.before"
    """The insert is about to be noted as durable."""
    DURABLE_AFTER = "durable.after"
    """It is noted; the floor still stands below it."""
    CLOSED_BEFORE = "closed.before"
    """The checkpoint of closed panes is about to be written (every stage with panes)."""
    CLOSED_AFTER = "closed.after"
    """It is written; the floor that needs it is not raised."""
    COMMIT_BEFORE = "commit.before"
    """Floors are about to be committed."""
    COMMIT_AFTER = "commit.after"
    """The broker has committed them."""
    PANES_BEFORE = "panes.before"
    """Health: panes are about to be stored."""
    PANES_AFTER = "panes.after"
    """Health: panes are stored, and not sent on."""
    HEALTH_AFTER = "health.after"
    """Health: panes are sent on; progress is not."""


def parse_failpoints(text: str) -> dict[Failpoint, int]:
    """Return the failpoints of ``NAME[:NTH][,...]`` and at which visit each kills.

    Raises `ValueError`, which lists the names, for anything else.
    """
    found: dict[Failpoint, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, nth = part.partition(":")
        if name not in set(Failpoint) or not (nth or "1").isdigit() or not int(nth or "1"):
            raise ValueError(f"{part!r} is not NAME[:NTH] with a name of: {', '.join(Failpoint)}")
        found[Failpoint(name)] = int(nth or "1")
    return found
