"""Alarms that wait to be confirmed keep waiting while nothing at all is heard of the tenant.

Telemetry often stops because of a fault, or in the middle of one. Silence refutes nothing: what was heard last stands
until something is heard again, and is confirmed by time like any other. Silence of one service alone is no such thing:
its user may have given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from schemas.deviations import SeriesKind, ServiceDeviations
from streams.incidents.config import IncidentConfig
from streams.incidents.triggers import Alarm, is_silent


@dataclass(slots=True)
class Waiting:
    """By service, as last heard: error logs that have not lasted long enough yet."""

    heard: dict[str, ServiceDeviations] = field(default_factory=dict)

    def step(
        self, pane_ns: int, pane: Mapping[str, ServiceDeviations], alarms: Mapping[str, Alarm], members: Set[str],
        config: IncidentConfig,
    ) -> dict[str, Alarm]:  # fmt: skip
        """Return the alarms to go by in this pane: its own, and in silence the ones that wait.

        `members` of open incidents wait for nothing.
        """
        oldest_ns = pane_ns - int(config.logs_confirm_s * 1e9)
        self.heard = {
            name: one
            for name, one in self.heard.items()
            if one.pane_start_ns >= oldest_ns and name not in members and not _is_refuted(pane.get(name))
        }
        if not is_silent(pane):
            self.heard |= {name: _logs_only(one) for name, one in alarms.items() if one.logs}
            return dict(alarms)
        kept = {name: Alarm(_at(pane_ns, one), list(one.series)) for name, one in self.heard.items()}
        return dict(sorted((kept | dict(alarms)).items()))

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [one.model_dump_json() for one in self.heard.values()]

    @staticmethod
    def unpacked(body: list[Any]) -> Waiting:
        """Read `packed` back."""
        found = [ServiceDeviations.model_validate_json(one) for one in body]
        return Waiting({one.service: one for one in found})


def _is_refuted(one: ServiceDeviations | None) -> bool:
    """Tell whether the service was heard and its alarm has ended: a request or two without an error end none."""
    if one is None or not (one.requests or one.log_errors):
        return False
    return not any(s.kind is SeriesKind.LOG_ERRORS and s.deviating for s in one.series)


def _logs_only(alarm: Alarm) -> ServiceDeviations:
    one = alarm.deviations
    return ServiceDeviations(
        tenant=one.tenant, service=one.service, node_kind=one.node_kind, pane_start_ns=one.pane_start_ns,
        revision=one.revision, driven=one.driven, state=one.state, requests=0, errors=0, p95_ms=None,
        series=alarm.logs,
    )  # fmt: skip


def _at(pane_ns: int, one: ServiceDeviations) -> ServiceDeviations:
    return one.model_copy(update={"pane_start_ns": pane_ns})
