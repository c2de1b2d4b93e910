-- Metric data points of all five types in one table: the columns of the other types are empty and cost nothing.
-- Retention counts from storing.

-- let texts = Map(LowCardinality(String), String)
-- let types = Map(LowCardinality(String), Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'map' = 6, 'bytes' = 7))
-- let value = Tuple(string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64), double_value Nullable(Float64), array_value Nullable(String), kvlist_value Nullable(String), bytes_value Nullable(String))
-- let key_values = Array(Tuple(key String, value ${value}))
-- let exemplars = Array(Tuple(time_unix_nano UInt64, as_double Nullable(Float64), as_int Nullable(Int64), span_id String, trace_id String, filtered_attributes ${key_values}))
-- let buckets = Tuple(offset Int32, bucket_counts Array(UInt64))
-- let number = Tuple(start_time_unix_nano UInt64, time_unix_nano UInt64, as_double Nullable(Float64), as_int Nullable(Int64), exemplars ${exemplars}, attributes ${key_values}, flags UInt32)
-- let histogram = Tuple(start_time_unix_nano UInt64, time_unix_nano UInt64, count UInt64, sum Nullable(Float64), bucket_counts Array(UInt64), explicit_bounds Array(Float64), exemplars ${exemplars}, attributes ${key_values}, flags UInt32, min Nullable(Float64), max Nullable(Float64))
-- let exponential = Tuple(attributes ${key_values}, start_time_unix_nano UInt64, time_unix_nano UInt64, count UInt64, sum Nullable(Float64), scale Int32, zero_count UInt64, positive ${buckets}, negative ${buckets}, flags UInt32, exemplars ${exemplars}, min Nullable(Float64), max Nullable(Float64), zero_threshold Float64)
-- let summary = Tuple(start_time_unix_nano UInt64, time_unix_nano UInt64, count UInt64, sum Float64, quantile_values Array(Tuple(quantile Float64, value Float64)), attributes ${key_values}, flags UInt32)
-- let metric = Tuple(name String, description String, unit String, gauge Tuple(data_points Array(${number})), sum Tuple(data_points Array(${number}), aggregation_temporality Int32, is_monotonic Bool), histogram Tuple(data_points Array(${histogram}), aggregation_temporality Int32), exponential_histogram Tuple(data_points Array(${exponential}), aggregation_temporality Int32), summary Tuple(data_points Array(${summary})))
-- let scope = Tuple(scope Tuple(name String, version String, attributes ${key_values}), schema_url String, metrics Array(${metric}))

CREATE TABLE metric_points
(
    tenant LowCardinality(String),
    service LowCardinality(String),
    metric LowCardinality(String),
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'clamped to [arrival - 24 h, arrival + 10 min]',
    type Enum8('gauge' = 1, 'sum' = 2, 'histogram' = 3, 'exponential_histogram' = 4, 'summary' = 5),
    temporality Enum8('unspecified' = 0, 'delta' = 1, 'cumulative' = 2) COMMENT 'of sums and histograms',
    is_monotonic Bool,
    unit LowCardinality(String),
    description LowCardinality(String),
    attributes ${texts} CODEC(ZSTD(1)),
    attribute_types ${types} CODEC(ZSTD(1)),
    start_unix_nano UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'as sent; 0 is unknown',
    unix_nano UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'as sent',
    value Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'of a gauge or sum, also of an integer one',
    value_int Nullable(Int64) CODEC(ZSTD(1)) COMMENT 'exactly, where an integer was sent',
    count UInt64 CODEC(T64, ZSTD(1)),
    sum Nullable(Float64) CODEC(ZSTD(1)),
    min Nullable(Float64) CODEC(ZSTD(1)),
    max Nullable(Float64) CODEC(ZSTD(1)),
    bounds Array(Float64) CODEC(ZSTD(1)) COMMENT 'upper bounds of a histogram',
    bucket_counts Array(UInt64) CODEC(ZSTD(1)) COMMENT 'of a histogram: one more than bounds',
    scale Int32 CODEC(T64, ZSTD(1)),
    zero_count UInt64 CODEC(T64, ZSTD(1)),
    zero_threshold Float64 CODEC(ZSTD(1)),
    positive_offset Int32 CODEC(T64, ZSTD(1)),
    positive_counts Array(UInt64) CODEC(ZSTD(1)),
    negative_offset Int32 CODEC(T64, ZSTD(1)),
    negative_counts Array(UInt64) CODEC(ZSTD(1)),
    quantiles Array(Float64) CODEC(ZSTD(1)),
    quantile_values Array(Float64) CODEC(ZSTD(1)),
    exemplars Array(Tuple(unix_nano UInt64, value Nullable(Float64), value_int Nullable(Int64), trace_id String, span_id String, attributes ${texts}, attribute_types ${types})) CODEC(ZSTD(1)),
    flags UInt32 CODEC(T64, ZSTD(1)) COMMENT 'bit 1: no recorded value',
    resource_attributes ${texts} CODEC(ZSTD(1)),
    resource_attribute_types ${types} CODEC(ZSTD(1)),
    resource_schema_url LowCardinality(String),
    scope_name LowCardinality(String),
    scope_version LowCardinality(String),
    scope_attributes ${texts} CODEC(ZSTD(1)),
    scope_attribute_types ${types} CODEC(ZSTD(1)),
    scope_schema_url LowCardinality(String),
    marks UInt16 CODEC(T64, ZSTD(1)) COMMENT 'bits: 1 a time lies outside the accepted range, 4 not a number, 8 no recorded value, 16 attributes were cut',
    kafka_partition Int32 CODEC(T64, ZSTD(1)),
    kafka_offset Int64 CODEC(Delta, ZSTD(1)),
    item UInt32 CODEC(Delta, ZSTD(1)) COMMENT 'ordinal in its record: with partition and offset the ingest id',
    arrival_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta, ZSTD(1)),
    INDEX by_metric metric TYPE set(1000) GRANULARITY 1,
    INDEX by_attribute mapValues(attributes) TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (tenant, service, metric, time)
TTL stored_at + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- How many points a metric has.
CREATE OR REPLACE FUNCTION incidentscope_points AS (metric) ->
    length(((metric).gauge).data_points) + length(((metric).sum).data_points) + length(((metric).histogram).data_points)
    + length(((metric).exponential_histogram).data_points) + length(((metric).summary).data_points);

CREATE TABLE landing_metrics
(
    tenant_id String,
    kafka_partition Int32,
    kafka_offset Int64,
    arrival_unix_nano Int64,
    request Tuple(resource_metrics Array(Tuple(resource Tuple(attributes ${key_values}), schema_url String, scope_metrics Array(${scope}))))
)
ENGINE = Null;

CREATE TABLE landing_metric_resources
(
    tenant String,
    kafka_partition Int32,
    kafka_offset Int64,
    first_item UInt64,
    arrival_unix_nano Int64,
    service String,
    resource_attributes ${texts},
    resource_attribute_types ${types},
    resource_schema_url String,
    scopes Array(${scope})
)
ENGINE = Null;

CREATE TABLE landing_metric_scopes
(
    tenant String,
    kafka_partition Int32,
    kafka_offset Int64,
    first_item UInt64,
    arrival_unix_nano Int64,
    service String,
    resource_attributes ${texts},
    resource_attribute_types ${types},
    resource_schema_url String,
    scope_name String,
    scope_version String,
    scope_attributes ${texts},
    scope_attribute_types ${types},
    scope_schema_url String,
    metrics Array(${metric})
)
ENGINE = Null;

CREATE MATERIALIZED VIEW landing_metrics_to_landing_metric_resources TO landing_metric_resources AS
SELECT
    tenant_id AS tenant, kafka_partition, kafka_offset,
    end_item - arraySum(metrics -> arraySum(metric -> incidentscope_points(metric), metrics), scopes.metrics) AS first_item,
    arrival_unix_nano,
    incidentscope_service((element.resource).attributes) AS service,
    incidentscope_attributes((element.resource).attributes) AS resource_attributes,
    incidentscope_attribute_types((element.resource).attributes) AS resource_attribute_types,
    element.schema_url AS resource_schema_url,
    element.scope_metrics AS scopes
FROM landing_metrics
ARRAY JOIN
    request.resource_metrics AS element,
    arrayCumSum(scopes -> arraySum(metrics -> arraySum(metric -> incidentscope_points(metric), metrics), scopes.metrics), request.resource_metrics.scope_metrics) AS end_item;

CREATE MATERIALIZED VIEW landing_metric_resources_to_landing_metric_scopes TO landing_metric_scopes AS
SELECT
    tenant, kafka_partition, kafka_offset,
    first_item + end_item - arraySum(metric -> incidentscope_points(metric), element.metrics) AS first_item,
    arrival_unix_nano, service, resource_attributes, resource_attribute_types, resource_schema_url,
    element.scope.name AS scope_name,
    element.scope.version AS scope_version,
    incidentscope_attributes((element.scope).attributes) AS scope_attributes,
    incidentscope_attribute_types((element.scope).attributes) AS scope_attribute_types,
    element.schema_url AS scope_schema_url,
    element.metrics AS metrics
FROM landing_metric_resources
ARRAY JOIN scopes AS element, arrayCumSum(metrics -> arraySum(metric -> incidentscope_points(metric), metrics), scopes.metrics) AS end_item;

-- One row a metric: its points are flattened by one view for each type.
CREATE TABLE landing_metric
(
    tenant String,
    kafka_partition Int32,
    kafka_offset Int64,
    first_item UInt64,
    arrival_unix_nano Int64,
    service String,
    resource_attributes ${texts},
    resource_attribute_types ${types},
    resource_schema_url String,
    scope_name String,
    scope_version String,
    scope_attributes ${texts},
    scope_attribute_types ${types},
    scope_schema_url String,
    sent ${metric}
)
ENGINE = Null;

-- One row a point of any type, not judged yet.
CREATE TABLE landing_points
(
    tenant String,
    kafka_partition Int32,
    kafka_offset Int64,
    item UInt32,
    arrival_unix_nano Int64,
    service String,
    resource_attributes ${texts},
    resource_attribute_types ${types},
    resource_schema_url String,
    scope_name String,
    scope_version String,
    scope_attributes ${texts},
    scope_attribute_types ${types},
    scope_schema_url String,
    metric String,
    unit String,
    description String,
    type Int8,
    temporality Int32,
    is_monotonic Bool,
    reason String,
    start_time_unix_nano UInt64,
    time_unix_nano UInt64,
    attributes ${key_values},
    as_double Nullable(Float64),
    as_int Nullable(Int64),
    count UInt64,
    sum Nullable(Float64),
    min Nullable(Float64),
    max Nullable(Float64),
    bounds Array(Float64),
    bucket_counts Array(UInt64),
    scale Int32,
    zero_count UInt64,
    zero_threshold Float64,
    positive ${buckets},
    negative ${buckets},
    quantiles Array(Float64),
    quantile_values Array(Float64),
    exemplars ${exemplars},
    flags UInt32
)
ENGINE = Null;

CREATE MATERIALIZED VIEW landing_metric_scopes_to_landing_metric TO landing_metric AS
SELECT
    tenant, kafka_partition, kafka_offset,
    first_item + end_item - incidentscope_points(sent) AS first_item,
    arrival_unix_nano, service, resource_attributes, resource_attribute_types, resource_schema_url,
    scope_name, scope_version, scope_attributes, scope_attribute_types, scope_schema_url, sent
FROM landing_metric_scopes
ARRAY JOIN metrics AS sent, arrayCumSum(metric -> incidentscope_points(metric), metrics) AS end_item;

CREATE MATERIALIZED VIEW landing_metric_to_gauge_points TO landing_points AS
SELECT
    tenant, kafka_partition, kafka_offset, first_item + ordinal - 1 AS item, arrival_unix_nano,
    service, resource_attributes, resource_attribute_types, resource_schema_url,
    scope_name, scope_version, scope_attributes, scope_attribute_types, scope_schema_url,
    (sent).name AS metric, (sent).unit AS unit, (sent).description AS description,
    1 AS type,
    0 AS temporality,
    false AS is_monotonic,
    '' AS reason,
    (point).start_time_unix_nano AS start_time_unix_nano,
    (point).time_unix_nano AS time_unix_nano,
    (point).attributes AS attributes,
    (point).as_double AS as_double,
    (point).as_int AS as_int,
    (point).exemplars AS exemplars,
    (point).flags AS flags
FROM landing_metric
ARRAY JOIN ((sent).gauge).data_points AS point, arrayEnumerate(((sent).gauge).data_points) AS ordinal;

CREATE MATERIALIZED VIEW landing_metric_to_sum_points TO landing_points AS
SELECT
    tenant, kafka_partition, kafka_offset, first_item + ordinal - 1 AS item, arrival_unix_nano,
    service, resource_attributes, resource_attribute_types, resource_schema_url,
    scope_name, scope_version, scope_attributes, scope_attribute_types, scope_schema_url,
    (sent).name AS metric, (sent).unit AS unit, (sent).description AS description,
    2 AS type,
    ((sent).sum).aggregation_temporality AS temporality,
    ((sent).sum).is_monotonic AS is_monotonic,
    if(temporality IN (1, 2), '', 'bad_temporality') AS reason,
    (point).start_time_unix_nano AS start_time_unix_nano,
    (point).time_unix_nano AS time_unix_nano,
    (point).attributes AS attributes,
    (point).as_double AS as_double,
    (point).as_int AS as_int,
    (point).exemplars AS exemplars,
    (point).flags AS flags
FROM landing_metric
ARRAY JOIN ((sent).sum).data_points AS point, arrayEnumerate(((sent).sum).data_points) AS ordinal;

CREATE MATERIALIZED VIEW landing_metric_to_histogram_points TO landing_points AS
SELECT
    tenant, kafka_partition, kafka_offset, first_item + ordinal - 1 AS item, arrival_unix_nano,
    service, resource_attributes, resource_attribute_types, resource_schema_url,
    scope_name, scope_version, scope_attributes, scope_attribute_types, scope_schema_url,
    (sent).name AS metric, (sent).unit AS unit, (sent).description AS description,
    3 AS type,
    ((sent).histogram).aggregation_temporality AS temporality,
    false AS is_monotonic,
    multiIf(
        temporality NOT IN (1, 2), 'bad_temporality',
        empty(bucket_counts) AND empty(bounds), '',
        length(bucket_counts) != length(bounds) + 1, 'bad_histogram',
        arrayExists((bound, step) -> isNaN(bound) OR NOT (step > 0), arrayPopFront(bounds), arrayPopFront(arrayDifference(bounds))), 'bad_histogram',
        arraySum(bucket_counts) != count, 'bad_histogram',
        '') AS reason,
    (point).start_time_unix_nano AS start_time_unix_nano,
    (point).time_unix_nano AS time_unix_nano,
    (point).attributes AS attributes,
    (point).count AS count,
    (point).sum AS sum,
    (point).min AS min,
    (point).max AS max,
    (point).explicit_bounds AS bounds,
    (point).bucket_counts AS bucket_counts,
    (point).exemplars AS exemplars,
    (point).flags AS flags
FROM landing_metric
ARRAY JOIN ((sent).histogram).data_points AS point, arrayEnumerate(((sent).histogram).data_points) AS ordinal;

CREATE MATERIALIZED VIEW landing_metric_to_exponential_histogram_points TO landing_points AS
SELECT
    tenant, kafka_partition, kafka_offset, first_item + ordinal - 1 AS item, arrival_unix_nano,
    service, resource_attributes, resource_attribute_types, resource_schema_url,
    scope_name, scope_version, scope_attributes, scope_attribute_types, scope_schema_url,
    (sent).name AS metric, (sent).unit AS unit, (sent).description AS description,
    4 AS type,
    ((sent).exponential_histogram).aggregation_temporality AS temporality,
    false AS is_monotonic,
    multiIf(
        temporality NOT IN (1, 2), 'bad_temporality',
        scale NOT BETWEEN -10 AND 20, 'bad_histogram',
        zero_count + arraySum((positive).bucket_counts) + arraySum((negative).bucket_counts) != count, 'bad_histogram',
        '') AS reason,
    (point).start_time_unix_nano AS start_time_unix_nano,
    (point).time_unix_nano AS time_unix_nano,
    (point).attributes AS attributes,
    (point).count AS count,
    (point).sum AS sum,
    (point).min AS min,
    (point).max AS max,
    (point).scale AS scale,
    (point).zero_count AS zero_count,
    (point).zero_threshold AS zero_threshold,
    (point).positive AS positive,
    (point).negative AS negative,
    (point).exemplars AS exemplars,
    (point).flags AS flags
FROM landing_metric
ARRAY JOIN ((sent).exponential_histogram).data_points AS point, arrayEnumerate(((sent).exponential_histogram).data_points) AS ordinal;

CREATE MATERIALIZED VIEW landing_metric_to_summary_points TO landing_points AS
SELECT
    tenant, kafka_partition, kafka_offset, first_item + ordinal - 1 AS item, arrival_unix_nano,
    service, resource_attributes, resource_attribute_types, resource_schema_url,
    scope_name, scope_version, scope_attributes, scope_attribute_types, scope_schema_url,
    (sent).name AS metric, (sent).unit AS unit, (sent).description AS description,
    5 AS type,
    0 AS temporality,
    false AS is_monotonic,
    '' AS reason,
    (point).start_time_unix_nano AS start_time_unix_nano,
    (point).time_unix_nano AS time_unix_nano,
    (point).attributes AS attributes,
    (point).count AS count,
    (point).sum AS sum,
    ((point).quantile_values).quantile AS quantiles,
    ((point).quantile_values).value AS quantile_values,
    (point).flags AS flags
FROM landing_metric
ARRAY JOIN ((sent).summary).data_points AS point, arrayEnumerate(((sent).summary).data_points) AS ordinal;

CREATE MATERIALIZED VIEW landing_points_to_metric_points TO metric_points AS
WITH
    toUInt64(greatest(arrival_unix_nano - 86400000000000, 0)) AS earliest,
    toUInt64(arrival_unix_nano + 600000000000) AS latest
SELECT
    tenant,
    service,
    metric,
    incidentscope_stored_time(time_unix_nano, earliest, latest) AS time,
    CAST(landing_points.type, 'Enum8(\'gauge\' = 1, \'sum\' = 2, \'histogram\' = 3, \'exponential_histogram\' = 4, \'summary\' = 5)') AS type,
    CAST(landing_points.temporality, 'Enum8(\'unspecified\' = 0, \'delta\' = 1, \'cumulative\' = 2)') AS temporality,
    is_monotonic,
    unit,
    description,
    incidentscope_attributes(landing_points.attributes) AS attributes,
    incidentscope_attribute_types(landing_points.attributes) AS attribute_types,
    start_time_unix_nano AS start_unix_nano,
    time_unix_nano AS unix_nano,
    coalesce(as_double, toFloat64(as_int)) AS value,
    as_int AS value_int,
    count,
    sum,
    min,
    max,
    bounds,
    bucket_counts,
    scale,
    zero_count,
    zero_threshold,
    (positive).offset AS positive_offset,
    (positive).bucket_counts AS positive_counts,
    (negative).offset AS negative_offset,
    (negative).bucket_counts AS negative_counts,
    quantiles,
    quantile_values,
    arrayMap(exemplar -> (
        (exemplar).time_unix_nano, coalesce((exemplar).as_double, toFloat64((exemplar).as_int)), (exemplar).as_int,
        lower(hex((exemplar).trace_id)), lower(hex((exemplar).span_id)),
        incidentscope_attributes((exemplar).filtered_attributes),
        incidentscope_attribute_types((exemplar).filtered_attributes)), landing_points.exemplars) AS exemplars,
    flags,
    resource_attributes,
    resource_attribute_types,
    resource_schema_url,
    scope_name,
    scope_version,
    scope_attributes,
    scope_attribute_types,
    scope_schema_url,
    bitOr(bitOr(bitOr(
        toUInt16(time_unix_nano < earliest OR time_unix_nano > latest),
        4 * (ifNull(NOT isFinite(as_double), 0) OR ifNull(NOT isFinite(landing_points.sum), 0))),
        8 * bitAnd(flags, 1)),
        incidentscope_cut_mark(landing_points.attributes, attributes)) AS marks,
    kafka_partition,
    kafka_offset,
    item,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM landing_points
WHERE reason = '';

CREATE MATERIALIZED VIEW landing_points_to_rejected_items TO rejected_items AS
SELECT
    tenant,
    'otel.metrics' AS topic,
    kafka_partition,
    kafka_offset,
    item,
    reason,
    concat('type ', toString(type), ', temporality ', toString(temporality), ', ', toString(length(bounds)), ' bounds, ',
           toString(length(bucket_counts)), ' buckets, scale ', toString(scale), ', count ', toString(count)) AS detail,
    service,
    left(metric, 256) AS name,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM landing_points
WHERE reason != '';

CREATE MATERIALIZED VIEW landing_metrics_to_landed_records TO landed_records AS
SELECT
    tenant_id AS tenant,
    'otel.metrics' AS topic,
    kafka_partition,
    kafka_offset,
    arraySum(scopes -> arraySum(metrics -> arraySum(metric -> incidentscope_points(metric), metrics), (scopes).metrics), ((request).resource_metrics).scope_metrics) AS items,
    fromUnixTimestamp64Nano(arrival_unix_nano, 'UTC') AS arrival_time
FROM landing_metrics;
