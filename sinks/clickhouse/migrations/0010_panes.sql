-- Published windows. A newer picture of the same pane (higher version: the offset it goes up to) replaces the older,
-- so a replay changes nothing. Reads use FINAL. Latencies are milliseconds, NULL where nothing was measured.

CREATE TABLE service_panes
(
    tenant LowCardinality(String),
    service LowCardinality(String),
    pane_start DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    node_kind LowCardinality(String),
    pane_s UInt16,
    window_s UInt16,
    revision UInt32,
    final Bool,
    requests UInt64 CODEC(T64, ZSTD(1)),
    errors UInt64 CODEC(T64, ZSTD(1)),
    p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    p99_ms Nullable(Float64) CODEC(ZSTD(1)),
    self_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    self_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_requests UInt64 CODEC(T64, ZSTD(1)),
    window_errors UInt64 CODEC(T64, ZSTD(1)),
    window_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_p99_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_self_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_self_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    log_severities Map(LowCardinality(String), UInt64),
    slow_traces Array(String) CODEC(ZSTD(1)),
    failing_traces Array(String) CODEC(ZSTD(1)),
    normal_traces Array(String) CODEC(ZSTD(1)),
    late_items UInt64 CODEC(T64, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(pane_start)
ORDER BY (tenant, service, pane_start)
TTL stored_at + INTERVAL 48 HOUR
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE operation_panes
(
    tenant LowCardinality(String),
    service LowCardinality(String),
    operation String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    pane_start DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    requests UInt64 CODEC(T64, ZSTD(1)),
    errors UInt64 CODEC(T64, ZSTD(1)),
    p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    p99_ms Nullable(Float64) CODEC(ZSTD(1)),
    self_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    self_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_requests UInt64 CODEC(T64, ZSTD(1)),
    window_errors UInt64 CODEC(T64, ZSTD(1)),
    window_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_p99_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_self_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_self_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(pane_start)
ORDER BY (tenant, service, operation, kind, pane_start)
TTL stored_at + INTERVAL 48 HOUR
SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE edge_panes
(
    tenant LowCardinality(String),
    server LowCardinality(String),
    client LowCardinality(String),
    connection_type LowCardinality(String),
    pane_start DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    server_kind LowCardinality(String),
    client_kind LowCardinality(String),
    requests UInt64 CODEC(T64, ZSTD(1)),
    errors UInt64 CODEC(T64, ZSTD(1)),
    paired UInt64 CODEC(T64, ZSTD(1)),
    virtual UInt64 CODEC(T64, ZSTD(1)),
    expired UInt64 CODEC(T64, ZSTD(1)),
    client_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    client_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    server_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    server_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    gap_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    gap_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_requests UInt64 CODEC(T64, ZSTD(1)),
    window_errors UInt64 CODEC(T64, ZSTD(1)),
    window_paired UInt64 CODEC(T64, ZSTD(1)),
    window_virtual UInt64 CODEC(T64, ZSTD(1)),
    window_expired UInt64 CODEC(T64, ZSTD(1)),
    window_client_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_client_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_server_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_server_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_gap_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_gap_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(pane_start)
ORDER BY (tenant, pane_start, server, client, connection_type)
TTL stored_at + INTERVAL 48 HOUR
SETTINGS ttl_only_drop_parts = 1;

-- The sliding window that ends on a full minute is that minute: kept long after the panes are gone.
CREATE TABLE service_minutes
(
    tenant LowCardinality(String),
    service LowCardinality(String),
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    node_kind LowCardinality(String),
    requests UInt64 CODEC(T64, ZSTD(1)),
    errors UInt64 CODEC(T64, ZSTD(1)),
    p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    p99_ms Nullable(Float64) CODEC(ZSTD(1)),
    self_p50_ms Nullable(Float64) CODEC(ZSTD(1)),
    self_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (tenant, service, minute)
TTL stored_at + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW service_panes_to_service_minutes TO service_minutes AS
SELECT
    tenant,
    service,
    toStartOfMinute(pane_start) AS minute,
    version,
    node_kind,
    window_requests AS requests,
    window_errors AS errors,
    window_p50_ms AS p50_ms,
    window_p95_ms AS p95_ms,
    window_p99_ms AS p99_ms,
    window_self_p50_ms AS self_p50_ms,
    window_self_p95_ms AS self_p95_ms
FROM service_panes
WHERE window_s = 60 AND (toUnixTimestamp64Milli(pane_start) + pane_s * 1000) % 60000 = 0;
