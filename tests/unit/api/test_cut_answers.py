"""An answer that is cut says so."""

from __future__ import annotations

from api.views.services import MAX_EDGES, ServiceMap
from schemas.health import ConnectionType, EdgeStats, NodeKind
from schemas.queries import MapEdge

STATS = EdgeStats(requests=1, errors=0, paired=1, virtual=0, expired=0)


def edges(count: int) -> list[MapEdge]:
    """Return so many edges into one service."""
    one = MapEdge(
        client="c",
        client_kind=NodeKind.SERVICE,
        server="s",
        server_kind=NodeKind.SERVICE,
        connection_type=ConnectionType.REQUEST,
        pane_start_ns=0,
        window=STATS,
    )
    return [one.model_copy(update={"client": f"c{number}"}) for number in range(count)]


def test_a_map_of_more_edges_than_an_answer_holds_is_truncated() -> None:
    """From whichever store; nodes are those of the edges that are told."""
    whole, cut = ServiceMap.of(0, edges(MAX_EDGES)), ServiceMap.of(0, edges(MAX_EDGES + 1))
    assert (len(whole.edges), whole.truncated) == (MAX_EDGES, False)
    assert (len(cut.edges), cut.truncated, len(cut.nodes)) == (MAX_EDGES, True, MAX_EDGES + 1)
