-- Refused messages and items, as far as they are kept to be looked at and sent again; the topic dead-letters has all.
-- A letter is named by the record it came from, so writing it again changes nothing. `attempt` counts its replays:
-- refused again, the letter comes back with the next attempt and is open again.
CREATE TABLE dead_letters (
    topic             text    NOT NULL,
    kafka_partition   integer NOT NULL,
    kafka_offset      bigint  NOT NULL,
    item              integer NOT NULL,
    letter_key        text    NOT NULL GENERATED ALWAYS AS
        (topic || ':' || kafka_partition || ':' || kafka_offset || ':' || item) STORED,
    tenant            text    NOT NULL,
    attempt           integer NOT NULL DEFAULT 0,
    state             text    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed')),
    reason            text    NOT NULL,
    detail            text    NOT NULL,
    items             integer[] NOT NULL,
    payload           bytea   NOT NULL,
    payload_bytes     bigint  NOT NULL,
    payload_sha256    text    NOT NULL,
    payload_truncated boolean NOT NULL,
    decoder_version   text    NOT NULL,
    driven            boolean NOT NULL,
    first_seen_ns     bigint  NOT NULL,
    replayed_ns       bigint,
    replayed_partition integer,
    replayed_offset   bigint,
    stored_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, topic, kafka_partition, kafka_offset, item),
    UNIQUE (topic, kafka_partition, kafka_offset, item)   -- a record has one letter, whoever it turns out to belong to
);
CREATE INDEX dead_letters_by_time ON dead_letters (tenant, first_seen_ns DESC, letter_key DESC);
CREATE INDEX dead_letters_by_age ON dead_letters (stored_at);

-- Which record is the replay of a letter: the first that ingest saw. Every other is ignored, so that a letter sent
-- again twice (a retry, two people, a crash between sending and noting) is stored once.
CREATE TABLE dead_letter_replays (
    tenant          text    NOT NULL,
    letter_key      text    NOT NULL,
    attempt         integer NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset    bigint  NOT NULL,
    taken_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, letter_key, attempt)
);
CREATE INDEX dead_letter_replays_by_age ON dead_letter_replays (taken_at);
