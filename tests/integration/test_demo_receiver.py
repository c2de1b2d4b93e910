"""The demo's receiver of alerts takes what is signed with its secret, and nothing else."""

from __future__ import annotations

import time

import httpx

from schemas.incidents import Alert, IncidentState, NotifyReason, Severity
from sinks.webhook import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from topologies.demo.receiver import AlertReceiver

ALERT = Alert(
    alert_id="a", tenant="demo", incident_id="i", reason=NotifyReason.FIRST, state=IncidentState.OPEN,
    severity=Severity.HIGH, title="t", summary="s", at_ns=1, onset_ns=1, services=["payments"],
    path="/api/v1/incidents/i",
)  # fmt: skip


async def test_a_signed_alert_is_kept_once_and_a_forged_one_is_refused() -> None:
    """A second delivery of the same alert is the same alert; a changed byte is none."""
    async with AlertReceiver() as receiver, httpx.AsyncClient() as client:
        body, sent_s = ALERT.model_dump_json().encode(), int(time.time())
        headers = {
            TIMESTAMP_HEADER: str(sent_s),
            SIGNATURE_HEADER: sign(receiver.secret.get_secret_value().encode(), sent_s, body),
        }
        answers = [await client.post(receiver.url, content=body, headers=headers) for _ in range(2)]
        forged = await client.post(receiver.url, content=body.replace(b'"high"', b'"low"'), headers=headers)
        unsigned = await client.post(receiver.url, content=body)
    assert [answer.status_code for answer in answers] == [204, 204]
    assert (forged.status_code, unsigned.status_code) == (401, 401)
    assert receiver.alerts == [ALERT]
    assert receiver.refused == 2
    assert receiver.first_of("i") == ALERT
    assert receiver.first_of("other") is None
