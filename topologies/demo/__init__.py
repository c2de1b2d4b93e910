"""``incidentscope demo``: a real shop breaks, and one watches the product find out why.

::

    deploy.shop ── OTLP/HTTP ──▶ API ──▶ topics ──▶ worker ──▶ incident, hypotheses, alert
        ▲                         ▲                                                 │
        └── fault ── Story ───────┘ asks like any user                 AlertReceiver ◀┘ signed webhook

The demo looks at the product through its front doors only: the REST API and the webhook.
"""

from topologies.demo.running import faults, run_demo

__all__ = ["faults", "run_demo"]
