-- Why a pane is told as it is: live (by the windows) or late (measured again from what is stored).
ALTER TABLE service_panes ADD COLUMN IF NOT EXISTS cause LowCardinality(String) DEFAULT 'live' AFTER final;

-- Every telling of a pane, so that one can see what a later one changed.
CREATE TABLE pane_revisions
(
    tenant LowCardinality(String),
    service LowCardinality(String),
    pane_start DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    revision UInt32 CODEC(T64, ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    cause LowCardinality(String),
    final Bool,
    requests UInt64 CODEC(T64, ZSTD(1)),
    errors UInt64 CODEC(T64, ZSTD(1)),
    p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    self_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    window_requests UInt64 CODEC(T64, ZSTD(1)),
    window_p95_ms Nullable(Float64) CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(pane_start)
ORDER BY (tenant, service, pane_start, revision)
TTL stored_at + INTERVAL 48 HOUR
SETTINGS ttl_only_drop_parts = 1;

CREATE MATERIALIZED VIEW service_panes_to_pane_revisions TO pane_revisions AS
SELECT
    tenant, service, pane_start, revision, version, cause, final, requests, errors, p95_ms, self_p95_ms,
    window_requests, window_p95_ms, stored_at
FROM service_panes;

-- Measuring a pane again reads spans by their end; within a service the end follows the start, which is the order.
ALTER TABLE spans ADD INDEX IF NOT EXISTS by_end end_unix_nano TYPE minmax GRANULARITY 1;
