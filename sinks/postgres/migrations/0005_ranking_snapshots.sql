-- What each version of a ranking was made from: ranking the document again gives the stored hypotheses.
CREATE TABLE ranking_snapshots (
    tenant      text   NOT NULL,
    incident_id text   NOT NULL,
    version     bigint NOT NULL,
    document    jsonb  NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, incident_id, version)
);
