-- How OTLP values become columns. An attribute map holds every value as text; a second map names the type of each
-- value that is not a string. The text of a number is as ClickHouse prints it, of a bool true or false; of bytes, and
-- of the protobuf content of an array or a key-value list, it is base64 (sinks.clickhouse.values opens it again).
-- Functions are filled in where a view is created; ClickHouse analyses a view anew on every insert, so short is fast.

CREATE OR REPLACE FUNCTION incidentscope_text AS (any) ->
    multiIf(
        isNotNull((any).string_value), assumeNotNull((any).string_value),
        isNotNull((any).int_value), toString(assumeNotNull((any).int_value)),
        isNotNull((any).double_value), toString(assumeNotNull((any).double_value)),
        isNotNull((any).bool_value), if(assumeNotNull((any).bool_value), 'true', 'false'),
        base64Encode(coalesce((any).array_value, (any).kvlist_value, (any).bytes_value, '')));

CREATE OR REPLACE FUNCTION incidentscope_type AS (any) ->
    CAST(multiIf(
        isNotNull((any).string_value), 1,
        isNotNull((any).int_value), 3,
        isNotNull((any).double_value), 4,
        isNotNull((any).bool_value), 2,
        isNotNull((any).array_value), 5,
        isNotNull((any).kvlist_value), 6,
        isNotNull((any).bytes_value), 7,
        0),
        'Enum8(\'empty\' = 0, \'string\' = 1, \'bool\' = 2, \'int\' = 3, \'double\' = 4, \'array\' = 5, \'map\' = 6, \'bytes\' = 7)');

-- A text longer than the limit in bytes is cut, and ends with an ellipsis; half a character at the cut becomes U+FFFD.
CREATE OR REPLACE FUNCTION incidentscope_cut AS (text, limit) ->
    if(length(text) > limit, concat(toValidUTF8(left(text, limit - 5)), '…'), text);

-- The first 128 attributes; values of at most 2048 bytes, as SDKs can be told to send them (OpenTelemetry, Attribute Limits).
CREATE OR REPLACE FUNCTION incidentscope_attributes AS (pairs) ->
    mapFromArrays(
        CAST(arraySlice((pairs).key, 1, 128), 'Array(LowCardinality(String))'),
        arrayMap((text) -> incidentscope_cut(text, 2048), arrayMap((any) -> incidentscope_text(any), arraySlice((pairs).value, 1, 128))));

CREATE OR REPLACE FUNCTION incidentscope_attribute_types AS (pairs) ->
    mapFromArrays(
        CAST(arrayFilter((key, text) -> isNull(text), arraySlice((pairs).key, 1, 128), arraySlice((pairs).value.string_value, 1, 128)), 'Array(LowCardinality(String))'),
        arrayMap((any) -> incidentscope_type(any), arrayFilter((any) -> isNull((any).string_value), arraySlice((pairs).value, 1, 128))));

-- How many attributes there is no room for: added to those that the sender dropped.
CREATE OR REPLACE FUNCTION incidentscope_surplus AS (pairs) ->
    toUInt32(if(length(pairs) > 128, length(pairs) - 128, 0));

-- Mark 16: of the item's own attributes a value was cut, or there were more than there is room for.
CREATE OR REPLACE FUNCTION incidentscope_cut_mark AS (pairs, attributes) ->
    16 * (length(pairs) > 128 OR arrayExists(text -> length(text) > 2045 AND endsWith(text, '…'), mapValues(attributes)));

-- The last service.name, or unknown_service.
CREATE OR REPLACE FUNCTION incidentscope_service AS (pairs) ->
    coalesce(nullIf(arrayLast((text, key) -> key = 'service.name', (pairs).value.string_value, (pairs).key), ''), 'unknown_service');

-- Event time for partitions and sort order: never more than 24 h before or 10 min after the arrival, so no producer
-- can spread one insert over a hundred days. The time as it was sent stands beside it.
CREATE OR REPLACE FUNCTION incidentscope_stored_time AS (unix_nano, earliest, latest) ->
    fromUnixTimestamp64Nano(toInt64(least(greatest(unix_nano, earliest), latest)), 'UTC');
