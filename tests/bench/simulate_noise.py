"""Is the sensitivity what it says? False alarms a day of services that nothing but chance moves, against the setting.

Run it with ``python -m tests.bench.simulate_noise DAYS SETTING ...``; a service day takes half a minute of CPU. Of rare
requests fifty times as many days are played, for only panes with requests cost anything.
"""

from __future__ import annotations

import sys
from collections import Counter

from schemas.settings import Settings
from streams.judging import JudgeFold, JudgeMemory
from tests.noisy_service import NoisyService
from tests.quiet_day import PANES_A_DAY

SHAPES = {
    "one operation, one caller": {},
    "12 operations, 16 callers": {"operations": 12, "callers": 16, "rate_per_s": 5.0},
    "40 instances": {"instances": 40, "rate_per_s": 10.0},
    "a request in five minutes": {"rate_per_s": 0.0},
}
RARE_PANES = 30


def alarms_of(service: NoisyService, setting: float, panes: int) -> Counter[str]:
    """Return how often each kind of series began to deviate; `service` is how often any began, of a calm service."""
    fold, memory = JudgeFold.from_settings(Settings(false_alarms_per_day=setting)), JudgeMemory()
    found, before = Counter[str](), set[tuple[str, ...]]()
    pane, pause = 0, 1 if service.rate_per_s else RARE_PANES
    while (pane := pane + int(service.chance.geometric(1 / pause))) < panes:
        judged = fold.advance(memory, service.pane(pane))
        series = [] if judged is None else [one for one in judged.series if one.deviating]
        now = {(one.kind.value, one.operation or "", one.edge_client or "", one.instance or "") for one in series}
        found.update(kind for kind, *_ in now - before)
        found["service"] += bool(now) and not before
        before = now
    return found


def main() -> None:
    """Print a line for each shape and setting."""
    for setting in [float(each) for each in sys.argv[2:]]:
        for name, shape in SHAPES.items():
            days = float(sys.argv[1]) * (1 if shape.get("rate_per_s", 1.0) else 50)
            found = Counter[str]()
            for seed in range(4):
                found += alarms_of(NoisyService("cart", seed, **shape), setting, int(days * PANES_A_DAY / 4))
            sys.stdout.write(f"{setting} a day, {name}: {found.pop('service', 0)} in {days} days {dict(found)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
