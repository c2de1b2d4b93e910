"""What the demo saw against the truth."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.shop.faults import Fault
from schemas.incidents import Alert, Hypothesis
from topologies.demo.front_door import SeenIncident


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one fault was found. Seconds count from the injection, as the demo saw them through the API."""

    fault: Fault
    incident: SeenIncident | None
    opened_after_s: float | None
    alert: Alert | None
    alert_after_s: float | None
    patience_s: float

    @property
    def found(self) -> bool:
        """Tell whether an incident was opened for the fault."""
        return self.incident is not None

    @property
    def rank(self) -> int | None:
        """Return the rank of the truth among the hypotheses, None when it is not among them."""
        ranked = self.incident.hypotheses if self.incident else []
        return next((one.rank for one in ranked if tells_truth(one, self.fault)), None)

    @property
    def passed(self) -> bool:
        """Tell whether the fault was found, named first, and people were told."""
        return self.found and self.rank == 1 and self.alert is not None

    def lines(self) -> list[str]:
        """Say it in words."""
        fault, truth = self.fault, f"the truth: {_truth(self.fault)}"
        if self.incident is None or self.opened_after_s is None:
            return [f"MISSED  {fault.name}: no incident within {self.patience_s:.0f} s; {truth}"]
        first = self.incident.hypotheses[0].title if self.incident.hypotheses else "nothing"
        said = [f"found after {self.opened_after_s:.0f} s, named first: {first}; {truth}"]
        if self.rank is None:
            said.append("the truth is not among the hypotheses")
        elif self.rank > 1:
            said.append(f"the truth is at rank {self.rank}")
        if self.alert is None or self.alert_after_s is None:
            said.append("no alert was delivered")
        else:
            named = self.alert.causes[0].title if self.alert.causes else "no cause"
            said.append(f"alert delivered after {self.alert_after_s:.0f} s, naming: {named}")
        return [
            f"{'PASSED' if self.passed else 'FAILED'}  {fault.name}: {said[0]}",
            *(f"        {one}" for one in said[1:]),
        ]


def tells_truth(hypothesis: Hypothesis, fault: Fault) -> bool:
    """Tell whether a hypothesis blames what is really at fault; an edge must be the right one."""
    if hypothesis.service != fault.service:
        return False
    return hypothesis.edge_client is None or fault.edge_client in (None, hypothesis.edge_client)


def _truth(fault: Fault) -> str:
    return f"{fault.service} ({fault.what})"
