"""Failpoints: a name, a count, a death that cannot be seen coming."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from pydantic import ValidationError

from schemas.failpoints import Failpoint, parse_failpoints
from schemas.settings import Settings

VISITS = """
from schemas.failpoints import Failpoint
from topologies import failpoints
failpoints.arm({armed!r})
for visit in range(1, 4):
    failpoints.reached(Failpoint.INSERT_AFTER)
    print(visit, flush=True)
"""


def visits(armed: str) -> tuple[int, str]:
    """Pass a failpoint three times in a process of its own; return how it ended and what it printed."""
    ended = subprocess.run(
        [sys.executable, "-c", VISITS.format(armed=armed)], stdout=subprocess.PIPE, text=True, check=False
    )
    return ended.returncode, "".join(line for line in ended.stdout.splitlines() if line.isdigit())


@pytest.mark.parametrize(
    ("armed", "end", "printed"),
    [
        ("", 0, "123"),
        ("insert.after", -signal.SIGKILL, ""),
        ("insert.after:3", -signal.SIGKILL, "12"),
        ("insert.before:1,insert.after:2", -signal.SIGKILL, "1"),
        ("insert.before", 0, "123"),
    ],
)
def test_process_dies_at_the_armed_visit_and_at_no_other(armed: str, end: int, printed: str) -> None:
    """SIGKILL, at the nth visit of the named point alone."""
    assert visits(armed) == (end, printed)


def test_list_of_failpoints_is_read_with_its_counts() -> None:
    """A count that is left out is 1."""
    assert parse_failpoints("pending.after, commit.before:7") == {
        Failpoint.PENDING_AFTER: 1,
        Failpoint.COMMIT_BEFORE: 7,
    }


@pytest.mark.parametrize("text", ["nowhere", "insert.after:0", "insert.after:x", "insert.after:-1"])
def test_unknown_failpoint_is_refused_with_the_names(text: str) -> None:
    """A kill test whose failpoint is never reached would pass for nothing."""
    with pytest.raises(ValidationError, match=r"insert\.before"):
        Settings(_env_file=None, failpoint=text)
