"""The demo shop: eight small HTTP services and a database, under real OpenTelemetry instrumentation.

::

    load ──▶ storefront ─┬─▶ catalog (two instances) ──▶ PostgreSQL
                         ├═▶ recommendations ──▶ catalog
                         ├─▶ pricing
                         ├─▶ cart ─┬═▶ pricing
                         │         └─▶ PostgreSQL
                         └─▶ checkout ─┬─▶ cart
                                       ├═▶ payments ──▶ card network (not ours, sends no telemetry)
                                       ├─▶ shipping
                                       └─▶ PostgreSQL              ═▶ leads through the proxy that can be slow

Every box is an operating-system process. Spans, metrics and logs are made by the OpenTelemetry SDK and its
instrumentation packages and leave over OTLP/HTTP to where the standard ``OTEL_*`` variables point. The faults
of `deploy.shop.faults` are real: the delay is on the wire, the burning service loses its CPU to a busy loop, the
leaking one grows, the dead instance was killed, queries wait for a lock of the database.
"""
