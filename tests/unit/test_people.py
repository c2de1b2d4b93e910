"""People as hashes: what a span says of them, how a trace has them, and how a sample counts them."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from made_spans import CLIENT, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

from streams.edges import EdgeFold
from streams.incidents.crowd import Crowd, those_who_met
from streams.otlp import decode_spans
from streams.partials import ServicePartial
from streams.people import EVERYBODY, SIZE, Mark, PeopleSample
from streams.progress import Progress
from streams.stubs import StubFold, decode_stubs
from streams.windows import SECOND_NS, WindowConfig

HASHES = st.integers(1, EVERYBODY - 1)
MARKS = st.builds(Mark, st.booleans(), st.integers(0, 500))
SAMPLES = st.lists(st.tuples(HASHES, MARKS), max_size=3 * SIZE).map(PeopleSample.of)


def spread(people: range) -> PeopleSample:
    """Return a sample of so many people, whose hashes lie evenly."""
    return PeopleSample.of((n * 2_654_435_761 % EVERYBODY, Mark(n % 4 == 0, 0)) for n in people)


def span(person: str, trace: int, number: int, parent: int, **more: Any) -> MadeSpan:
    """Return a span that is for somebody."""
    peer = (("enduser.id", person),) if person else ()
    kind, service = more.pop("kind", SERVER), more.pop("service", "web")
    times = START_NS + trace * MS_NS, START_NS + (trace + 5) * MS_NS
    return MadeSpan(service, "op", kind, trace, number, parent, *times, peer=peer, **more)


def joined(spans: list[MadeSpan], tenant: str = "acme") -> list[ServicePartial]:
    """Return what edges says of spans, as it is sent."""
    stubs = StubFold("otel.traces/0", 1, WindowConfig())
    fold = EdgeFold("telemetry.stubs/0", ["otel.traces/0"], WindowConfig())
    stubs.step(tenant, decode_spans(traces_payload(spans)), START_NS + SECOND_NS, 0)
    for record in stubs.flush():
        assert b"somebody" not in record.value
        fold.step(decode_stubs(record.value), 0)
    fold.step_progress(Progress("otel.traces/0", START_NS + 60 * SECOND_NS), 1)
    return [ServicePartial.decode(partial.encode()) for partial in fold.flush()]


def people_at(spans: list[MadeSpan], service: str, tenant: str = "acme") -> PeopleSample:
    """Return the people whose traces passed a service, by the door web."""
    return next(one for one in joined(spans, tenant) if one.service == service).contents.passages["web"].people


@settings(max_examples=80, deadline=None)
@given(one=SAMPLES, two=SAMPLES, three=SAMPLES)
def test_samples_merge_in_any_order_and_the_same_again_changes_nothing(
    one: PeopleSample, two: PeopleSample, three: PeopleSample
) -> None:
    """So partials may come in any order, and twice."""
    assert one.plus(two).plus(three) == three.plus(two.plus(one))
    assert one.plus(one) == one
    assert len(one.plus(two).marks) <= SIZE
    assert PeopleSample.decode(one.encode()) == one
    assert PeopleSample.read(one.text()) == one or not one.marks


def test_few_people_are_counted_and_many_are_estimated() -> None:
    """Within a quarter: two standard deviations of a sample of 64."""
    assert spread(range(50)).people == 50
    assert 7_500 < spread(range(10_000)).people < 12_500


def test_the_share_of_people_who_met_with_failures_is_told_beyond_the_size_of_a_sample() -> None:
    """Every fourth of 10,000; of each failing trace all of it is more than usual, or half."""
    came = spread(range(10_000))
    crowd = Crowd(came, those_who_met(came, fails=True, longer_than=None))
    assert 0.1 < crowd.share(1.0, 1.0) < 0.4
    assert abs(crowd.share(0.5, 1.0) - crowd.share(1.0, 1.0) / 2) < 1e-9


def test_of_few_people_no_share_is_told() -> None:
    """One of three is a third, and means nothing."""
    came = spread(range(19))
    assert Crowd(came, came).share(1.0, 1.0) == 0.0


def test_who_comes_twice_is_one_and_the_root_says_who() -> None:
    """Another span of the trace only where the root does not say."""
    spans = [span("somebody", trace, 1, 0) for trace in (1, 2)]
    spans += [span("", 3, 1, 0), span("somebody", 3, 2, 1), span("somebody", 4, 1, 0), span("another", 4, 2, 1)]
    assert people_at(spans, "web").people == 1


def test_people_are_told_at_every_service_that_their_traces_pass_with_what_befell_them() -> None:
    """Of two who came in, one failed at pay."""
    spans = [span("a", 1, 1, 0), span("", 1, 2, 1, kind=CLIENT), span("", 1, 3, 2, service="pay", error=True)]
    spans += [span("b", 2, 1, 0)]
    marks = list(people_at(spans, "web").marks.values())
    assert sorted(mark.failed for mark in marks) == [False, True]
    assert people_at(spans, "pay").marks.keys() < people_at(spans, "web").marks.keys()


def test_of_many_people_each_service_has_those_that_the_door_has() -> None:
    """The sample is of people, not of traces: who is in the door's and passed the service is in the service's."""
    spans = [span(f"user-{n}", n, 1, 0) for n in range(1, 401)]
    spans += [
        one for n in range(1, 401, 2) for one in (span("", n, 2, 1, kind=CLIENT), span("", n, 3, 2, service="pay"))
    ]
    web, pay = people_at(spans, "web"), people_at(spans, "pay")
    assert (len(web.marks), web.limit) == (SIZE, pay.limit)
    assert pay.marks.keys() < web.marks.keys()
    assert 0.3 < len(pay.marks) / len(web.marks) < 0.7


def test_the_same_person_is_another_in_another_tenant() -> None:
    """Nobody is followed from one to another."""
    spans = [span("somebody", 1, 1, 0)]
    assert people_at(spans, "web").marks.keys().isdisjoint(people_at(spans, "web", "other").marks)


def test_a_client_span_that_is_no_root_names_nobody() -> None:
    """Whom a call goes to is not who it is for."""
    columns = decode_spans(traces_payload([span("a", 1, 2, 1, kind=CLIENT), span("a", 1, 3, 0, kind=CLIENT)]))
    assert [bool(person) for person in columns.person.tolist()] == [False, True]


def test_stubs_without_people_are_as_they_were() -> None:
    """An older worker reads them; and theirs are read."""
    columns = decode_spans(traces_payload([span("", 1, 1, 0)]))
    stubs = StubFold("otel.traces/0", 1, WindowConfig())
    stubs.step("acme", columns, START_NS + SECOND_NS, 0)
    [record] = stubs.flush()
    assert decode_stubs(record.value).columns.person.tolist() == [0]
