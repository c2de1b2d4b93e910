"""docs/alerts.md: what it shows is what is sent, and its receiver takes what our sender signs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from http_receiver import answering, receiver
from pydantic import BaseModel

from api import examples
from schemas.incidents import Alert, Deploy, HypothesisSet, IncidentEvent, NotifyReason
from schemas.keys import PROGRESS_KEY
from schemas.topics import ALERTS, DEPLOYS, HYPOTHESES, INCIDENT_EVENTS, TopicSpec
from sinks.webhook import DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, TOLERANCE_S, Webhook
from streams.alerting import build_alert

DOCUMENT = (Path(__file__).parents[3] / "docs/alerts.md").read_text()
RANKING = HypothesisSet(
    tenant=examples.EVENT.tenant, incident_id=examples.EVENT.incident_id, version=2, weights_version="2026-11",
    as_of_ns=examples.EVENT.at_ns, hypotheses=[examples.HYPOTHESIS], ruled_out=examples.RANKING.ruled_out,
)  # fmt: skip
SHOWN: list[tuple[TopicSpec, BaseModel]] = [
    (ALERTS, build_alert(examples.EVENT, RANKING, NotifyReason.FIRST, examples.EVENT.at_ns)),
    (INCIDENT_EVENTS, examples.EVENT),
    (HYPOTHESES, RANKING),
    (DEPLOYS, examples.DEPLOY_EVENT),
]
MODELS: dict[str, type[BaseModel]] = {"alerts": Alert, "incidents.events": IncidentEvent,
                                      "incidents.hypotheses": HypothesisSet, "deploys.events": Deploy}  # fmt: skip
SECRET, WALL_S = b"a secret", 1_760_000_000


def shown(topic: str) -> str:
    """Return the example of a topic."""
    found = re.search(rf"### `{re.escape(topic)}`\n.*?```json\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize(("topic", "example"), SHOWN, ids=[spec.name for spec, _ in SHOWN])
def test_each_topic_is_shown_with_its_key_and_a_true_record(topic: TopicSpec, example: BaseModel) -> None:
    """None of the fields is one that the model has not, and the values are those of one incident."""
    record = shown(topic.name)
    read = MODELS[topic.name].model_validate_json(record)
    assert read == example
    assert read.model_dump(mode="json", exclude_unset=True) == json.loads(record)
    assert f"| `{topic.name}` | `{topic.key}` | `{type(read).__name__}` |" in DOCUMENT


def test_the_numbers_and_names_of_the_document_are_those_of_the_code() -> None:
    """Headers, tolerance, and the key of the records that are not for consumers."""
    for said in (TIMESTAMP_HEADER, SIGNATURE_HEADER, DELIVERY_HEADER, f"{TOLERANCE_S} s", repr(PROGRESS_KEY)[2:-1]):
        assert said in DOCUMENT


async def test_the_receiver_of_the_document_takes_what_we_send_and_nothing_else() -> None:
    """The very snippet, against our sender."""
    scope: dict[str, Any] = {}
    found = re.search(r"```python\n(import hashlib.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    exec(found.group(1), scope)
    async with receiver(answering("204 No Content")) as got:
        async with Webhook(f"http://127.0.0.1:{got.port}/", SECRET, allow_private=True) as webhook:
            await webhook.deliver(Alert.model_validate_json(shown("alerts")), 1, wall_s=WALL_S)
        (posted,) = got.posted
    sent, signature = posted.headers[TIMESTAMP_HEADER.lower()], posted.headers[SIGNATURE_HEADER.lower()]
    verify = scope["verify"]
    assert verify(SECRET, posted.body, sent, signature, WALL_S + TOLERANCE_S)
    assert verify(SECRET, posted.body, sent, f"v1={'0' * 64}, {signature}", WALL_S)
    for wrong in (
        (b"another", posted.body, sent, signature, WALL_S),
        (SECRET, posted.body + b" ", sent, signature, WALL_S),
        (SECRET, posted.body, str(WALL_S + 1), signature, WALL_S),
        (SECRET, posted.body, sent, signature, WALL_S + TOLERANCE_S + 1),
        (SECRET, posted.body, "soon", signature, WALL_S),
        (SECRET, posted.body, sent, "", WALL_S),
    ):
        assert not verify(*wrong)
