"""The demo shop: eight small HTTP services and a database, under real OpenTelemetry instrumentation.

::

    load ──▶ storefront ─┬─▶ catalog ──▶ PostgreSQL
                         ├─▶ recommendations ──▶ catalog
                         ├─▶ pricing
                         ├─▶ cart ─┬─▶ pricing
                         │         └─▶ PostgreSQL
                         └─▶ checkout ─┬─▶ cart
                                       ├─▶ slow-lane proxy ──▶ payments
                                       ├─▶ shipping
                                       └─▶ PostgreSQL

Every box is an operating-system process. Spans, metrics and logs are made by the OpenTelemetry SDK and its
instrumentation packages and leave over OTLP/HTTP to where the standard ``OTEL_*`` variables point. The faults
of `deploy.shop.faults` are real: the delay is on the wire, the burning service loses its CPU to a busy loop.
"""
