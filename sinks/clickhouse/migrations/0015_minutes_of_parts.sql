-- The minutes of operations and of edges, as service_minutes has those of services: what hours of the week are learned from
-- when a worker sees a service for the first time. The window of the last pane of a minute is the minute; of panes longer
-- than 10 s that do not end with it nothing is kept here. Five weeks: four that count, and some to spare.

CREATE TABLE operation_minutes
(
    tenant LowCardinality(String),
    service LowCardinality(String),
    operation String CODEC(ZSTD(1)),
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    requests UInt64 CODEC(T64, ZSTD(1)),
    self_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    self_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (tenant, service, operation, minute)
TTL stored_at + INTERVAL 35 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW operation_panes_to_operation_minutes TO operation_minutes AS
SELECT
    tenant, service, operation, toStartOfMinute(pane_start) AS minute, version, window_requests AS requests,
    window_self_p50_ms AS self_p50_ms, window_self_p95_ms AS self_p95_ms
FROM operation_panes
WHERE kind IN ('server', 'consumer') AND toSecond(pane_start) >= 50;

CREATE TABLE edge_minutes
(
    tenant LowCardinality(String),
    server LowCardinality(String),
    client LowCardinality(String),
    connection_type LowCardinality(String),
    client_kind LowCardinality(String),
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    requests UInt64 CODEC(T64, ZSTD(1)),
    errors UInt64 CODEC(T64, ZSTD(1)),
    client_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    client_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    gap_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    gap_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (tenant, server, client, connection_type, minute)
TTL stored_at + INTERVAL 35 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW edge_panes_to_edge_minutes TO edge_minutes AS
SELECT
    tenant, server, client, connection_type, client_kind, toStartOfMinute(pane_start) AS minute, version,
    window_requests AS requests, window_errors AS errors, window_client_p50_ms AS client_p50_ms,
    window_client_p95_ms AS client_p95_ms, window_gap_p50_ms AS gap_p50_ms, window_gap_p95_ms AS gap_p95_ms
FROM edge_panes
WHERE client_kind != 'client' AND toSecond(pane_start) >= 50;
