"""Evidence: which signatures are new, rising or gone, and which are the noise of every day."""

from __future__ import annotations

from made_health import health, pane_start

from schemas.deviations import SignatureChange
from schemas.health import ServiceHealth, SignatureCount
from streams.evidence import EvidenceFold
from streams.judging import JudgeFold

DAILY, NOVEL = "d" * 16, "a" * 16


def pane(number: int, lines: dict[str, int], *, requests: int = 50, first_seen: int = 0) -> ServiceHealth:
    """Return a pane in which the service wrote so many lines of each signature, and an ordinary one."""
    signatures = [
        SignatureCount(
            signature=name, kind="log", template=f"template {name}", severity="error", pane=count, window=count,
            first_seen_ns=pane_start(first_seen if name == NOVEL else 0), sample="a line",
        )
        for name, count in lines.items()
    ]  # fmt: skip
    logs = {"info": 5, "error": sum(lines.values())}
    return health("pay", number, requests, logs=logs).model_copy(update={"signatures": signatures})


def judged(panes: list[ServiceHealth]) -> list[SignatureChange]:
    """Feed the panes; return what is told of the last one."""
    fold, state, told = EvidenceFold(), None, []
    for one in panes:
        state, evidence = fold.step(state, one)
        told = evidence.signatures
    return told


def test_a_line_never_seen_before_is_new_in_its_second_pane() -> None:
    """One pane alone argues with two lines at most: one request may write many."""
    calm = [pane(number, {DAILY: 2}) for number in range(60)]
    first = judged([*calm, pane(60, {DAILY: 2, NOVEL: 40}, first_seen=60)])
    assert [(one.change, one.series.deviating) for one in first] == [("new", False)]
    second = judged([*calm, *(pane(number, {DAILY: 2, NOVEL: 3}, first_seen=60) for number in (60, 61))])
    assert [(one.change, one.series.deviating, one.series.name) for one in second] == [("new", True, NOVEL)]
    assert second[0].series.since_ns == pane_start(60)
    assert (second[0].sample, second[0].pane_s) == ("a line", 10)


def test_an_error_of_every_day_is_no_evidence() -> None:
    """Services log errors all day; also in bursts."""
    steady = [pane(number, {DAILY: 3}) for number in range(90)]
    bursts = [pane(number, {DAILY: 30} if number % 20 < 2 else {}) for number in range(90)]
    assert not any(one.series.deviating for one in judged(steady))
    assert not any(one.series.deviating for one in judged(bursts[:82]))


def test_more_of_a_known_line_is_rising_but_not_because_of_more_traffic() -> None:
    """Errors grow with requests; what grows beyond them is evidence."""
    calm = [pane(number, {DAILY: 5}) for number in range(60)]
    busy = [pane(number, {DAILY: 10}, requests=100) for number in range(60, 66)]
    assert not any(one.series.deviating for one in judged([*calm, *busy]))
    worse = [pane(number, {DAILY: 25}) for number in range(60, 64)]
    (told,) = judged([*calm, *worse])
    assert (told.change, told.series.deviating, told.series.since_ns) == ("rising", True, pane_start(60))


def test_a_usual_line_that_stops_is_gone_but_not_when_nothing_is_heard() -> None:
    """Its silence means something only while the service works."""
    calm = [pane(number, {DAILY: 4}) for number in range(60)]
    (told,) = judged([*calm, *(pane(number, {}) for number in range(60, 70))])
    assert (told.change, told.series.deviating, told.template) == ("gone", True, f"template {DAILY}")
    silent = [health("pay", number, 50) for number in range(60, 70)]
    assert not any(one.series.deviating for one in judged([*calm, *silent]))


def test_a_service_just_met_has_nothing_new() -> None:
    """Everything is new then."""
    assert not any(one.series.deviating for one in judged([pane(n, {NOVEL: 9}) for n in range(4)]))


def test_what_was_seen_before_anything_that_is_remembered_here_is_not_new() -> None:
    """The tree of templates has a longer memory than the panes."""
    calm = [pane(number, {}) for number in range(60)]
    (told,) = judged([*calm, *(pane(number, {NOVEL: 3}, first_seen=-9000) for number in (60, 61))])
    assert told.change == "rising"


def test_stepping_panes_again_and_their_revisions_changes_nothing() -> None:
    """The same state, and the same told of the pane that came again."""
    panes = [pane(number, {DAILY: 2} if number < 60 else {DAILY: 2, NOVEL: 4}, first_seen=60) for number in range(64)]
    fold, state = EvidenceFold(), None
    told = {}
    for one in panes:
        state, told[one.pane_start_ns] = fold.step(state, one)
    again = state
    for one in panes[55:]:
        again, evidence = fold.step(again, one.model_copy(update={"revision": 1}))
        assert evidence == told[one.pane_start_ns]
    assert again == state


def test_the_state_is_bounded() -> None:
    """A service that invents signatures cannot fill the memory."""
    fold, state, sizes = EvidenceFold(), None, []
    for number in range(500):
        state, _ = fold.step(state, pane(number, {f"{number:08d}{k:08d}": 1 for k in range(20)}))
        sizes.append(len(state))
    assert max(sizes[400:]) < 64_000


def test_the_judge_tells_evidence_beside_what_deviates() -> None:
    """One record a pane, and a state of before there was evidence is taken over."""
    judge = JudgeFold()
    state, deviations = judge.step(None, pane(0, {DAILY: 1}))
    for number in range(1, 62):
        lines = {DAILY: 1} if number < 60 else {DAILY: 1, NOVEL: 4}
        state, deviations = judge.step(state, pane(number, lines, first_seen=60))
    assert deviations is not None
    assert [one.change for one in deviations.signatures if one.series.deviating] == ["new"]
    assert not any(series.name == NOVEL for series in deviations.series)
    old_state, _ = judge._baselines.step(None, pane(0, {}))
    _, deviations = judge.step(old_state, pane(1, {}))
    assert deviations is not None
