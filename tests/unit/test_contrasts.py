"""Which attribute values separate bad spans from the others."""

from __future__ import annotations

from schemas.queries import AttributeCount
from streams.contrasts import contrasts_of


def counted(value: str, bad: int, normal: int, *, key: str = "service.version", of: int = 100) -> AttributeCount:
    """Count a value among so many bad and ten times as many normal spans."""
    return AttributeCount(
        source="resource", key=key, value=value, bad=bad, bad_total=of, normal=normal, normal_total=10 * of
    )


def test_the_version_that_all_bad_spans_share_comes_first() -> None:
    """With its counts; what the normal ones have as well is not told."""
    found = contrasts_of([counted("1.4.0", 0, 990), counted("1.5.0", 100, 10), counted("eu", 60, 300, key="region")])
    assert [(one.value, one.bad, one.normal) for one in found] == [("1.5.0", 100, 10), ("eu", 60, 300)]
    assert found[0].separation > 0.9 > found[1].separation > 0.1


def test_a_few_spans_prove_less_than_many() -> None:
    """The same shares of a hundredth of the traffic separate nothing yet."""
    many, few = (
        counted("many", 50, 300),
        AttributeCount(source="resource", key="k", value="few", bad=1, bad_total=2, normal=6, normal_total=20),
    )
    assert [one.value for one in contrasts_of([few, many])] == ["many"]


def test_nothing_is_told_where_there_is_nothing_to_compare() -> None:
    """All spans bad, or none."""
    whole = AttributeCount(source="span", key="k", value="v", bad=9, bad_total=9, normal=0, normal_total=0)
    assert contrasts_of([whole, whole.model_copy(update={"bad_total": 0, "normal_total": 9})]) == []


def test_a_port_of_the_callers_side_explains_nothing() -> None:
    """A connection that is kept open has one for all its spans, so it separates them by chance."""
    for key in ("client.port", "net.peer.port", "net.sock.peer.port", "network.peer.port"):
        assert contrasts_of([counted("52352", 100, 0, key=key)]) == []
    assert contrasts_of([counted("8443", 100, 0, key="server.port")])


def test_the_order_of_the_counts_does_not_matter() -> None:
    """Ties go by name."""
    counts = [counted("b", 80, 10), counted("a", 80, 10), counted("c", 90, 10)]
    assert [one.value for one in contrasts_of(counts)] == ["c", "a", "b"]
    assert contrasts_of(counts) == contrasts_of(counts[::-1])
