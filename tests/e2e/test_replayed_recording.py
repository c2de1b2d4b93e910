"""A recording of our own shop, with deploys, replayed into a running product: an incident with the right cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.views.incidents import TimelineEntry
from schemas.incidents import IncidentEvent
from schemas.settings import Settings
from streams.pipeline import Decided, DueRanking, LocalPipeline
from tests.e2e.command import Running, command, running_up
from topologies.recordings import Recording
from topologies.witnessing import play

RECORDING = Path(__file__).parents[1] / "data" / "scenarios" / "bad-deploy-among-cart"
TENANT = "replayed"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


async def test_a_replayed_outage_is_found_and_its_cause_named_first(tmp_path: Path) -> None:
    """`incidentscope up`, then `incidentscope replay`: one incident; of three announced deploys the bad one first."""
    with Recording(RECORDING) as recording:
        [fault] = recording.labels.faults
        end_ns = int(recording.labels.end_unix * 1e9)
    async with running_up(tmp_path, TENANT) as product:
        output = tmp_path / "replay.log"
        replay = await command(
            "replay", str(RECORDING), "--speed", "0", "--tenant", TENANT, env=product.environment, output=output
        )
        assert await replay.wait() == 0, output.read_text()

        async def judged() -> dict[str, object] | None:
            found = await incidents_during(product, fault.start_unix, end_ns)
            if not found:
                return None
            ranking = await product.get(f"/incidents/{found[0]['incident_id']}/hypotheses")
            ranked_ns = ranking["as_of_ns"] or 0
            return ranking if ranked_ns >= found[0]["opened_ns"] and ranking["hypotheses"] else None

        ranking = await product.until(judged, 300.0)
        first = ranking["hypotheses"][0]
        assert (first["service"], fault.service) == ("cart", "cart"), ranking
        live = (await product.get("/deploys", limit=100))["items"]
        announced = {(one["service"], one["version"]) for one in live if one["source"] == "api"}
        assert {service for service, _ in announced} == {"cart", "catalog", "shipping"}
        assert {(one["service"], one["version"]) for one in live if one["source"] == "telemetry"} <= announced
        assert ("cart", "1.5.0") in {(one["service"], one["version"]) for one in live if one["source"] == "telemetry"}
        accused = next(one for one in live if one["deploy_id"] == first["deploy_id"])
        assert (accused["service"], accused["version"], accused["source"]) == ("cart", "1.5.0", "api")
        opened = await incidents_during(product, fault.start_unix, end_ns)
        assert len(opened) == 1, "one fault is one incident"
        assert opened[0]["opened_ns"] / 1e9 - fault.start_unix < 270
        early = [one for one in await all_incidents(product) if one["opened_ns"] / 1e9 < fault.start_unix]
        assert early == [], "nothing was wrong before the fault"
        span = {"start": int(fault.start_unix * 1e9), "end": end_ns}
        said = (await product.get("/services/cart/signatures", **span))["items"]
        thrown = {one["template"].split(" <")[0] for one in said if one["kind"] == "exception"}
        assert "DiscountTableMissing" in thrown, "spans tell of it in events"

        await same_as_locally(product, opened[0]["incident_id"])


async def same_as_locally(product: Running, incident_id: object) -> None:
    """The way through Kafka, four stages and three stores decides what the operators chained in one process decide.

    Every event of the incident, and what its first and its last ranking were made from, to the last digit.
    """
    events, due = locally()
    assert {event.incident_id for event in events} == {incident_id}

    async def over() -> list[dict[str, object]] | None:
        items = (await product.get(f"/incidents/{incident_id}/timeline", limit=100))["items"]
        return list(items) if items[-1]["kind"] == "resolved" else None

    assert await product.until(over, 120.0) == [TimelineEntry.of(event).model_dump(mode="json") for event in events]

    async def ranked() -> bool | None:
        latest = (await product.get(f"/incidents/{incident_id}/hypotheses"))["version"]
        return True if latest == due[-1].version else None

    await product.until(ranked, 120.0)
    for one in (due[0], due[-1]):
        stored = await product.get(f"/incidents/{incident_id}/snapshot", version=one.version)
        assert stored == one.snapshot().model_dump(mode="json")


def locally() -> tuple[list[IncidentEvent], list[DueRanking]]:
    """Return the events and the rankings of the recording by `LocalPipeline`, from which the scores come."""
    events, due = list[IncidentEvent](), list[DueRanking]()

    def see(decided: Decided) -> None:
        events.extend(decided.events)
        due.extend(decided.rankings)

    with Recording(RECORDING) as recording:
        play(LocalPipeline(Settings(), TENANT, recording.deploys(TENANT)), recording.messages(), see)
    return events, due


async def all_incidents(product: Running) -> list[dict[str, object]]:
    """Return every incident of the tenant."""
    return list((await product.get("/incidents", limit=100))["items"])


async def incidents_during(product: Running, start_unix: float, end_ns: int) -> list[dict[str, object]]:
    """Return the incidents opened between the fault and the end of the recording."""
    return [one for one in await all_incidents(product) if start_unix * 1e9 < one["opened_ns"] <= end_ns]
