"""A recording of our own shop, with deploys, replayed into a running product: an incident with the right cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.command import Running, command, running_up
from topologies.recordings import Recording

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
        assert "deploy.shop.misbehaving.DiscountTableMissing" in thrown, "spans tell of it in events"


async def all_incidents(product: Running) -> list[dict[str, object]]:
    """Return every incident of the tenant."""
    return list((await product.get("/incidents", limit=100))["items"])


async def incidents_during(product: Running, start_unix: float, end_ns: int) -> list[dict[str, object]]:
    """Return the incidents opened between the fault and the end of the recording."""
    return [one for one in await all_incidents(product) if start_unix * 1e9 < one["opened_ns"] <= end_ns]
