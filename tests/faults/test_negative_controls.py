"""The checks of this suite go red when what they check is taken away."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet import Fleet
from log_chain import Chain, Worker
from made_spans import SERVER, START_NS, Arrival, MadeSpan, records_of
from numbered_load import Load
from schedule import Kind, Moment, Strike
from trial import Trial

from schemas.failpoints import Failpoint
from schemas.settings import Settings
from streams.windows import SECOND_NS, WindowConfig

CONFIG = WindowConfig()
AFTER_COMMITS = f"{Failpoint.COMMIT_AFTER}:3"
"""The inner topics' offsets may come first."""
SPOILT_PATIENCE_S = 10.0
"""Panes that were not final by then are not waited for: where their records were committed past they never are."""


@pytest.mark.timeout(600)
async def test_without_the_floor_a_kill_spoils_panes(one_broker: Settings, fleet: Fleet, tmp_path: Path) -> None:
    """Faust's own acknowledgements are committed past records that open panes need: the oracle's rows are not there.

    All panes are open for a minute of event time and a third of the load is half of that, so each life dies when it
    has committed what must not be.
    """
    load = Load.of_items(6_000, "acme", one_broker.partitions)
    trial = Trial(one_broker, load, fleet, tmp_path, "floor_off", patience_s=SPOILT_PATIENCE_S)
    outcome = await trial.run([Strike(Kind.FAILPOINT, Moment.WORKING, 60, AFTER_COMMITS) for _ in range(2)])
    assert outcome.pane_differences != ()


@pytest.mark.timeout(600)
async def test_without_the_token_a_repeated_insert_is_stored_twice(
    one_broker: Settings, fleet: Fleet, tmp_path: Path
) -> None:
    """A worker dies when ClickHouse has its rows and nobody knows; the next one repeats the insert."""
    trial = Trial(one_broker, Load.of_items(3_000, "acme", one_broker.partitions), fleet, tmp_path, "token_off")
    outcome = await trial.run([Strike(Kind.FAILPOINT, Moment.WORKING, 60, Failpoint.INSERT_AFTER)])
    assert outcome.account.lost == 0
    assert outcome.account.doubled > 0


class AddingWorker(Worker):
    """A worker that adds what is new to it to the store, as a counter in a database would be incremented."""

    def flush_rollups(self, p: int) -> None:
        """Add the requests that this life had not told yet."""
        chain = self.chain
        assert isinstance(chain, AddingChain)
        for health in self.healths[p].publish():
            key = (health.service, health.pane_start_ns)
            chain.requests[key] = chain.requests.get(key, 0) + health.pane.requests - self.told.get(key, 0)
            self.told[key] = health.pane.requests


class AddingChain(Chain):
    """A chain whose store is added to."""

    def __init__(self, *arguments: object) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.kill()

    def kill(self) -> None:
        """Lose everything in memory; start again from what is committed."""
        self.worker = AddingWorker(self)
        self.worker.told = {}


def requests_of(chain: Chain) -> dict[tuple[str, int], int]:
    """Return the requests that a replacing store has of each pane."""
    return {key: picture["pane"]["requests"] for key, picture in chain.finish().items()}


@pytest.mark.parametrize("kills", [0, 3])
def test_a_store_that_is_added_to_is_right_until_the_first_kill(kills: int) -> None:
    """Increments give the right numbers undisturbed, wrong ones after kills; replacing always gives the right ones."""
    spans = [
        MadeSpan("shop", "GET /", SERVER, n, n, 0, START_NS + n * SECOND_NS, START_NS + n * SECOND_NS + 10_000_000)
        for n in range(1, 120)
    ]
    records = records_of(Arrival(span, span.end_ns // SECOND_NS * SECOND_NS + SECOND_NS) for span in spans)
    replacing, adding = Chain(records, 1, CONFIG), AddingChain(records, 1, CONFIG)
    for chain in (replacing, adding):
        for _ in range(kills):
            for _ in range(4):
                chain.worker.turn(20)
            chain.kill()
    expected = requests_of(Chain(records, 1, CONFIG))
    assert requests_of(replacing) == expected
    adding.finish()
    assert (adding.requests == expected) is (kills == 0)
