"""When the operator is told that ingest is not well."""

from __future__ import annotations

import pytest

from streams.self_watch import Watched, judge


@pytest.mark.parametrize(
    ("values", "reasons"),
    [
        ([100, 130, 130], ["nothing_new", "group_wait", "first_notification"]),
        ([130, 100, 130], ["group_wait", "nothing_new", "group_wait"]),
        ([130, 130, 500], ["group_wait", "first_notification", "nothing_new"]),
        ([130, 130, 70, 70], ["group_wait", "first_notification", "nothing_new", "nothing_new"]),
        ([130, 130, 60, 60], ["group_wait", "first_notification", "group_wait", "resolved"]),
        (
            [130, 130, 0, 0, 0, 130],
            ["group_wait", "first_notification", "group_wait", "resolved", "nothing_new", "group_wait"],
        ),
    ],
)
def test_two_looks_decide_and_the_way_back_is_further(values: list[float], reasons: list[str]) -> None:
    """Limit 120: told when over it twice, resolved when at most 60 twice, nothing in between."""
    watched, said = Watched(), []
    for value in values:
        watched, reason = judge(watched, value, 120)
        said.append(reason.value)
    assert said == reasons


def test_anything_is_too_much_where_the_limit_is_nought() -> None:
    """One missing record."""
    watched, _ = judge(Watched(), 1, 0)
    watched, reason = judge(watched, 1, 0)
    assert (watched.told, reason) == (True, "first_notification")
