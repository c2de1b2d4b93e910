-- Error signatures of published windows: log templates and exceptions, counted by pane. As with the other panes a newer
-- version replaces, and reads use FINAL. A template that has become more general keeps its id.

CREATE TABLE signature_panes
(
    tenant LowCardinality(String),
    service LowCardinality(String),
    signature String CODEC(ZSTD(1)),
    pane_start DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    kind LowCardinality(String),
    template String CODEC(ZSTD(1)),
    severity LowCardinality(String),
    lines UInt64 CODEC(T64, ZSTD(1)),
    first_seen DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    sample String CODEC(ZSTD(1)),
    sample_trace_id String CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(pane_start)
ORDER BY (tenant, service, signature, pane_start)
TTL stored_at + INTERVAL 48 HOUR
SETTINGS ttl_only_drop_parts = 1;
