-- Incidents, their timeline and hypotheses. Instants are Unix nanoseconds in event time, as in the events;
-- timestamptz columns are the wall clock and only for operators.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE incident_numbers (
    tenant      text   PRIMARY KEY,
    last_number bigint NOT NULL
);

-- The incident as it is after its newest event.
CREATE TABLE incidents (
    tenant       text   NOT NULL,
    incident_id  text   NOT NULL,
    number       bigint NOT NULL,
    sequence     bigint NOT NULL,
    state        text   NOT NULL,
    severity     text   NOT NULL,
    onset_ns     bigint NOT NULL,
    opened_ns    bigint NOT NULL,
    updated_ns   bigint NOT NULL,
    resolved_ns  bigint,
    services     text[] NOT NULL,
    document     jsonb  NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, incident_id),
    UNIQUE (tenant, number)
);
CREATE INDEX incidents_by_onset ON incidents (tenant, onset_ns DESC, incident_id DESC);
CREATE INDEX incidents_by_state ON incidents (tenant, state, onset_ns DESC);
CREATE INDEX incidents_by_service ON incidents USING gin (services);

-- Everything that happened to an incident. Rows are never changed.
CREATE TABLE incident_events (
    tenant      text   NOT NULL,
    event_id    text   NOT NULL,
    incident_id text   NOT NULL,
    sequence    bigint NOT NULL,
    kind        text   NOT NULL,
    at_ns       bigint NOT NULL,
    document    jsonb  NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, event_id)
);
CREATE INDEX incident_events_by_incident ON incident_events (tenant, incident_id, sequence);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER incident_events_append_only BEFORE UPDATE ON incident_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Rankings: each version as it was, so that "what did we believe then" can be answered.
CREATE TABLE incident_hypotheses (
    tenant          text   NOT NULL,
    incident_id     text   NOT NULL,
    version         bigint NOT NULL,
    as_of_ns        bigint NOT NULL,
    weights_version text   NOT NULL,
    document        jsonb  NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, incident_id, version)
);
