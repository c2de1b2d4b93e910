"""The exceptions of this project, as what they are handed around as."""

from __future__ import annotations

import pickle

from schemas.errors import BadPayload, RejectReason, SetupError


def test_errors_cross_a_process_boundary_with_all_they_say() -> None:
    """Evaluation runs in processes of its own; an error there must arrive here as itself."""
    setup = pickle.loads(pickle.dumps(SetupError("no labels", "write some")))
    payload = pickle.loads(pickle.dumps(BadPayload(RejectReason.DECODE, "truncated")))
    assert (setup.problem, setup.remedy, str(setup)) == ("no labels", "write some", "no labels\n  -> write some")
    assert (payload.reason, payload.detail) == (RejectReason.DECODE, "truncated")
