"""The hands: everything that leaves the process, to Kafka, ClickHouse, PostgreSQL, Redis and other people's webhooks.

Functions raise `schemas.errors`: `StoreUnavailable` (try again) or `StoreRejected` (never), not the drivers' errors.
"""
