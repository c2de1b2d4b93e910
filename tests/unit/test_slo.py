"""Burn rates: the detection times of the SRE workbook, low traffic, revisions."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest

from schemas.deviations import SeriesScore, ServiceDeviations
from schemas.health import ServiceHealth
from streams.incidents.words import series_in_words
from streams.slo import LATENCY, RULES, Budgets, BurnRateFold, BurnRule, SloConfig, wilson_lower
from tests.made_health import health, pane_start

THREE_NINES = SloConfig(objective=0.999)


def panes_until_page(config: SloConfig, requests: int, errors: int, calm_panes: int = 360) -> int | None:
    """Return how many failing panes it takes until a rule is met, after an hour without errors."""
    fold, state = BurnRateFold(config), None
    for pane in range(calm_panes):
        state, _ = fold.step(state, health("cart", pane, requests))
    for count in range(1, 400):
        state, told = fold.step(state, health("cart", calm_panes + count, requests, errors=errors))
        if told is not None and told.series[0].deviating:
            return count
    return None


@pytest.mark.parametrize(("share", "seconds"), [(1.0, 52), (0.1, 518)])
def test_detection_takes_what_the_workbook_says(share: float, seconds: int) -> None:
    """14.4 x budget x 1 h / error ratio (table 5-8); a pane or two of slack for the lower bound."""
    panes = panes_until_page(THREE_NINES, 200, round(200 * share))
    assert panes is not None
    assert seconds / 10 <= panes <= seconds / 10 * 1.1 + 3


@pytest.mark.parametrize(
    ("rule", "share", "seconds"),
    [
        (RULES[0], 1.0, 52), (RULES[0], 0.1, 518), (RULES[0], 0.02, 2_592),
        (RULES[1], 1.0, 130), (RULES[1], 0.1, 1_296), (RULES[1], 0.01, 12_960),
        (RULES[2], 0.1, 2_592), (RULES[2], 0.01, 25_920),
        (RULES[3], 0.1, 2_592), (RULES[3], 0.01, 25_920),
    ],
)  # fmt: skip
def test_each_rule_takes_what_the_workbook_says(rule: BurnRule, share: float, seconds: int) -> None:
    """Factor x budget x long window / error ratio (chapter 5), after one long window without errors.

    Later by the lower bound and by the buckets of the windows: a minute, of the long ones half an hour.
    """
    fold, budget = BurnRateFold(SloConfig(objective=0.999, rules=(rule,))), Budgets()
    step, bucket_s = (1, 60) if rule.long_s <= 6 * 3600 else (12, 1_800)
    requests = 5_000
    for pane in range(0, rule.long_s // 10, step):
        fold.advance(budget, health("cart", pane, requests))
    first = rule.long_s // 10
    for pane in range(first, first + seconds // 5, step):
        told, _ = fold.advance(budget, health("cart", pane, requests, errors=round(requests * share)))
        if told is not None and told.series[0].deviating:
            break
    took_s = (pane - first + step) * 10
    assert seconds - bucket_s <= took_s <= seconds * 1.05 + bucket_s + 10 * step


@pytest.mark.parametrize("first_pane", [0, 90, 179])
def test_half_an_hour_must_be_known_before_the_hour_is_judged(first_pane: int) -> None:
    """Wherever in a half hour of the clock the first request came."""
    fold, budget = BurnRateFold(SloConfig(rules=RULES[:1])), Budgets()
    burning = []
    for pane in range(first_pane, first_pane + 190):
        told, _ = fold.advance(budget, health("cart", pane, 100, errors=50))
        burning += [pane - first_pane + 1] if told is not None and told.series[0].deviating else []
    assert 174 <= burning[0] <= 180, "minutes are rounded down"


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_is_met_just_below_its_factor(rule: BurnRule) -> None:
    """For half as long again as its window."""
    fold, budget = BurnRateFold(SloConfig(objective=0.99, rules=(rule,))), Budgets()
    failing = int(10_000 * rule.factor * 0.01 * 0.95)
    step = 6 if rule.long_s <= 6 * 3600 else 60
    for pane in range(0, rule.long_s * 3 // 2 // 10, step):
        told, _ = fold.advance(budget, health("cart", pane, 10_000, errors=failing))
        assert told is None or not told.series[0].deviating


@pytest.mark.parametrize(("fails_every", "found"), [(5, True), (40, False)])
def test_a_trickle_is_seen_within_hours_where_there_are_five_requests_an_hour(fails_every: int, found: bool) -> None:
    """One of five fails: no single pane proves anything, six hours do. One failure in eight hours is chance."""
    fold, budget = BurnRateFold(SloConfig(objective=0.99)), Budgets()
    alarms = []
    for number, pane in enumerate(range(0, 8 * 360, 72)):
        failed = int(number % fails_every == fails_every - 1)
        told, _ = fold.advance(budget, health("mail", pane, 1, errors=failed))
        if told is not None and told.series[0].deviating:
            alarms.append(pane / 360)
    assert bool(alarms) is found
    assert all(hours > 2.5 for hours in alarms)


def test_a_ratio_inside_the_budget_is_never_an_alarm() -> None:
    """Half the budget for an hour."""
    assert panes_until_page(SloConfig(objective=0.99), 200, 1) is None


def test_two_failures_of_three_requests_do_not_burn_a_budget_surely() -> None:
    """The lower end of the Wilson interval stays below the factor at low traffic."""
    fold, state = BurnRateFold(SloConfig(objective=0.95)), None
    told: list[ServiceDeviations | None] = []
    for pane in range(0, 360, 120):
        state, one = fold.step(state, health("cart", pane, 1, errors=int(pane > 0)))
        told.append(one)
    assert not any(one.series[0].deviating for one in told if one)


def test_the_short_window_ends_the_alarm_soon_after_the_errors() -> None:
    """Five minutes, though the hour still holds them."""
    fold, state = BurnRateFold(SloConfig(objective=0.99, rules=THREE_NINES.rules[:1])), None
    for pane in range(240):
        state, told = fold.step(state, health("cart", pane, 100, errors=50))
    assert told is not None
    assert told.series[0].deviating
    flags = []
    for pane in range(240, 280):
        state, told = fold.step(state, health("cart", pane, 100))
        flags.append(told is not None and told.series[0].deviating)
    assert flags[0]
    assert not flags[35]


def test_of_several_rules_that_are_met_the_fastest_is_told() -> None:
    """Two days with one failure in a hundred, then one in ten: a page, not only a ticket."""
    fold, budget = BurnRateFold(SloConfig(objective=0.995)), Budgets()
    for pane in range(0, 2 * 8640, 60):
        told, _ = fold.advance(budget, health("cart", pane, 6_000, errors=60))
    assert told is not None
    assert 1.0 <= told.series[0].value < 6.0
    for pane in range(2 * 8640, 2 * 8640 + 366, 6):
        told, _ = fold.advance(budget, health("cart", pane, 600, errors=60))
    assert told is not None
    assert told.series[0].value >= 14.4


def test_a_service_without_errors_has_nothing_to_say() -> None:
    """No record for every pane of every service."""
    fold = BurnRateFold()
    _, told = fold.step(None, health("cart", 0, 100))
    assert told is None


def test_a_revision_replaces_and_is_not_added() -> None:
    """The state is that of the newest revision alone."""
    fold = BurnRateFold()
    first, _ = fold.step(None, health("cart", 0, 100, errors=5))
    revised, _ = fold.step(first, health("cart", 0, 90, errors=2, revision=1))
    alone, _ = fold.step(None, health("cart", 0, 90, errors=2, revision=1))
    assert revised == alone


def test_a_week_of_panes_fits_into_a_few_kilobytes() -> None:
    """Minutes for six hours, half hours for three days, each an hour apart here."""
    fold, state = BurnRateFold(), None
    for pane in range(0, 60_480, 36):
        state, _ = fold.step(state, health("cart", pane, 1_000_000, errors=1000))
    assert state is not None
    assert len(state) < 16_000


def test_the_wilson_bound_is_that_of_the_textbook() -> None:
    """1 of 10 at 95 % (two-sided): 0.0179."""
    assert wilson_lower(1, 10, 1.96) == pytest.approx(0.0179, abs=1e-4)
    assert wilson_lower(0, 0, 1.96) == 0.0


# -- latency -----------------------------------------------------------------------------------------------

FAST_ENOUGH = SloConfig(objective=0.999, latency_objective=0.999, slow_ns=300_000_000)


def slow_pane(pane: int, requests: int, slow: int, revision: int = 0) -> ServiceHealth:
    """Return a pane in which some requests took too long; none fails."""
    return health("cart", pane, requests, revision=revision).model_copy(update={"slow_requests": slow})


def latency_of(told: ServiceDeviations | None) -> SeriesScore | None:
    """Return the burn rate of the latency objective."""
    return next((one for one in told.series if one.name == LATENCY), None) if told else None


@pytest.mark.parametrize(
    ("rule", "share", "seconds"),
    [(RULES[0], 1.0, 52), (RULES[0], 0.1, 518), (RULES[1], 0.1, 1_296), (RULES[2], 0.1, 2_592), (RULES[3], 0.1, 2_592)],
)
def test_slow_requests_are_found_when_the_workbook_says(rule: BurnRule, share: float, seconds: int) -> None:
    """As failures are: the objective is a share of requests, too. Availability says nothing."""
    fold, budgets = BurnRateFold(replace(FAST_ENOUGH, rules=(rule,))), Budgets()
    step, bucket_s = (1, 60) if rule.long_s <= 6 * 3600 else (12, 1_800)
    first = rule.long_s // 10
    for pane in range(0, first, step):
        fold.advance(budgets, slow_pane(pane, 5_000, 0))
    for pane in range(first, first + seconds // 5, step):
        told, _ = fold.advance(budgets, slow_pane(pane, 5_000, round(5_000 * share)))
        burn = latency_of(told)
        if burn is not None and burn.deviating:
            break
    took_s = (pane - first + step) * 10
    assert seconds - bucket_s <= took_s <= seconds * 1.05 + bucket_s + 10 * step
    assert told is not None
    assert [one.name for one in told.series] == [LATENCY]


def test_both_objectives_are_told_side_by_side() -> None:
    """Half of the requests fail, a tenth is slow: two burn rates, availability first."""
    fold, budgets = BurnRateFold(FAST_ENOUGH), Budgets()
    for pane in range(360):
        picture = health("cart", pane, 100, errors=50).model_copy(update={"slow_requests": 10})
        told, _ = fold.advance(budgets, picture)
    assert told is not None
    assert [(one.name, one.value) for one in told.series] == [(None, 500.0), (LATENCY, 100.0)]
    words = [series_in_words("cart", one) for one in told.series]
    assert words == [
        "cart: error budget burn 500x (normally 1x)",
        "cart: latency budget burn 100x (normally 1x)",
    ]


def test_a_revision_replaces_the_slow_requests_of_its_pane() -> None:
    """By whatever way the state was kept in between."""
    fold, state = BurnRateFold(FAST_ENOUGH), None
    for pane in range(360):
        state, _ = fold.step(state, slow_pane(pane, 100, 100))
        state, told = fold.step(state, slow_pane(pane, 100, 0, revision=1))
    assert latency_of(told) is None


def test_another_threshold_begins_a_new_budget() -> None:
    """What was slow by the old one says nothing; availability goes on."""
    fold, state = BurnRateFold(FAST_ENOUGH), None
    for pane in range(360):
        state, _ = fold.step(state, slow_pane(pane, 100, 100))
    state, told = BurnRateFold(replace(FAST_ENOUGH, slow_ns=1)).step(state, slow_pane(360, 100, 100))
    assert latency_of(told) is None, "a pane cannot speak for an hour"
    budgets = Budgets.decode(state)
    assert budgets.availability.known_s(pane_start(360) // 10**9) > 3_000


def test_a_state_of_before_there_was_latency_goes_on() -> None:
    """Its availability is kept."""
    budgets = Budgets()
    BurnRateFold().advance(budgets, health("cart", 0, 100, errors=1))
    old = msgpack.packb([1, *budgets.availability.packed()])
    assert Budgets.decode(old) == Budgets(budgets.availability)
