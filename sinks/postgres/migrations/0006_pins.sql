-- Evidence copied out of raw telemetry, which retention deletes: traces with their spans, the graph, the queries.
CREATE TABLE incident_pins (
    tenant      text   NOT NULL,
    incident_id text   NOT NULL,
    moment      text   NOT NULL,  -- opening (the first stays) or peak (the strongest stays)
    strength    double precision NOT NULL,
    document    jsonb  NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, incident_id, moment)
);
