"""A release that runs beside the one before it is judged by the requests both took, announced or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from schemas.incidents import Deploy, HypothesisSet
from schemas.settings import Settings
from schemas.snapshots import PartCounts, VersionFinding
from schemas.topics import TRACES
from streams.hypotheses.changes import joined
from streams.hypotheses.releases import trial_of
from streams.pipeline import LocalPipeline
from streams.windows import SECOND_NS
from tests.made_spans import CLIENT, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

RATE_PER_S, CALM_S, FAULT_S = 10, 200, 90
OLD, NEW = "1.4.2", "1.5.0"


def request(number: int, at_ns: int, *, new: bool, fails: bool) -> list[MadeSpan]:
    """Return a request: shop calls cart, whose versions take turns, and so do those of shop."""
    version = NEW if new and number % 4 == 0 else OLD
    other = "2.1" if new and number % 3 == 0 else "2.0"
    shop = MadeSpan("shop", "GET /", SERVER, number, 1, 0, at_ns, at_ns + 30 * MS_NS, error=fails, version=other)
    call = replace(shop, name="call", kind=CLIENT, span=2, parent=1, start_ns=at_ns + MS_NS, end_ns=at_ns + 20 * MS_NS)
    cart = MadeSpan("cart", "GET /cart", SERVER, number, 3, 2, at_ns + 2 * MS_NS, at_ns + 19 * MS_NS, version=version)
    return [shop, call, replace(cart, error=fails)]


def seconds_of_traffic(of_new: bool) -> Iterator[tuple[int, bytes]]:
    """Yield (arrival, payload) for each second: calm, then both services have a release beside the old one.

    Of cart a quarter of the requests fail: those of its new version, or of each version alike.
    """
    for second in range(CALM_S + FAULT_S):
        at_ns, new = START_NS + second * SECOND_NS, second >= CALM_S
        numbers = range(1 + second * RATE_PER_S, 1 + (second + 1) * RATE_PER_S)
        failing = {n for n in numbers if new and (n % 4 == 0 if of_new else n // 4 % 4 == 0)}
        requests = (request(n, at_ns + n % RATE_PER_S * 90 * MS_NS, new=new, fails=n in failing) for n in numbers)
        yield at_ns + SECOND_NS, traces_payload(span for spans in requests for span in spans)


def ranked(of_new: bool, deploys: tuple[Deploy, ...] = ()) -> HypothesisSet:
    """Return the last ranking."""
    pipeline, due = LocalPipeline(Settings(), deploys=deploys), []
    for arrival_ns, payload in seconds_of_traffic(of_new):
        due += [one for decided in pipeline.feed(TRACES.name, payload, arrival_ns) for one in decided.rankings]
    return due[-1].make()


def test_a_bad_release_that_nobody_announced_is_named_with_what_its_siblings_do() -> None:
    """Seen as a new service.version; the release of the other service at the same time is innocent."""
    first, *_ = ranked(of_new=True).hypotheses
    assert (first.service, first.suspect_kind) == ("cart", "deploy")
    assert first.title.endswith(f"since deploy {NEW}")
    said = next(one.summary for one in first.evidence if one.kind == "deploy")
    assert f"deploy of {NEW}" in said
    assert "fail, 0 % of its siblings'" in said


def test_a_release_whose_siblings_fail_alike_is_not_the_cause() -> None:
    """It went live in the pane in which the trouble began, and is acquitted."""
    first, *_ = ranked(of_new=False).hypotheses
    assert (first.service, first.suspect_kind, first.deploy_id) == ("cart", "service", None)
    [why] = [part.why for part in first.parts if part.name == "deploy"]
    assert "its siblings are as bad" in why
    assert not [one for one in first.evidence if one.kind == "deploy"]


def deploy(deploy_id: str, at_s: int, version: str = NEW, source: str = "api") -> Deploy:
    """Return a deploy of cart, so many seconds after the start of the traffic."""
    made = Deploy(
        deploy_id=deploy_id, tenant="local", service="cart", version=version, at_ns=START_NS + at_s * SECOND_NS
    )
    return made.model_copy(update={"source": source})


def test_a_release_that_is_announced_when_it_is_complete_went_live_when_it_was_seen() -> None:
    """The job is done a minute after the first bad requests; what it announced is the cause, under its name."""
    first, *_ = ranked(True, (deploy("job-7", CALM_S + 25, f"v{NEW}"),)).hypotheses
    assert (first.service, first.deploy_id) == ("cart", "job-7")


def test_what_is_announced_and_seen_is_one_change() -> None:
    """Of the same version within an hour; each announcement takes the nearest."""
    seen, again = deploy("seen-1", 100, source="telemetry"), deploy("seen-2", 3000, source="telemetry")
    other = deploy("seen-3", 110, "9", source="telemetry")
    found = joined([deploy("job", 130), seen, again, other, deploy("nameless", 90, "")])
    assert [(one.deploy_id, (one.at_ns - START_NS) // SECOND_NS) for one in found] == [
        ("nameless", 90), ("job", 100), ("seen-3", 110), ("seen-2", 3000),
    ]  # fmt: skip
    assert [one.deploy_id for one in joined([deploy("job", 4000), seen])] == ["seen-1", "job"]


def versions(own: tuple[int, int, int], siblings: tuple[int, int, int]) -> list[VersionFinding]:
    """Return what a new version and the old one did: requests, errors, slow."""
    counts = zip((NEW, OLD), (own, siblings), strict=True)
    return [
        VersionFinding(version=name, since=PartCounts(requests=n, errors=errors, slow=slow))
        for name, (n, errors, slow) in counts
    ]


@pytest.mark.parametrize(
    ("own", "siblings", "excess"),
    [
        ((100, 30, 0), (900, 0, 0), 0.2),
        ((100, 0, 60), (900, 9, 0), 0.4),
        ((12, 6, 0), (900, 0, 0), 0.2),
    ],
)
def test_a_version_is_worse_by_errors_or_slow_requests(own: tuple, siblings: tuple, excess: float) -> None:  # type: ignore[type-arg]
    """By the ends of both intervals."""
    trial = trial_of(NEW, versions(own, siblings))
    assert trial is not None
    assert trial.excess >= excess


@pytest.mark.parametrize(
    ("own", "siblings"),
    [((9, 9, 9), (900, 0, 0)), ((900, 90, 0), (9, 0, 0)), ((100, 0, 0), (900, 0, 0)), ((20, 1, 0), (900, 9, 0))],
)
def test_few_requests_or_hardly_any_trouble_prove_nothing(own: tuple, siblings: tuple) -> None:  # type: ignore[type-arg]
    """Neither way."""
    assert trial_of(NEW, versions(own, siblings)) is None


def test_siblings_that_are_as_bad_acquit() -> None:
    """A dependency fails all of them."""
    trial = trial_of(NEW, versions((100, 20, 0), (900, 170, 0)))
    assert trial is not None
    assert trial.excess == 0.0
