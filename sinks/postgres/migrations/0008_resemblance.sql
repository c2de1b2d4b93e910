-- What each incident is like as of its newest ranking: features by name, and their unit vector. Searched by exact scan
-- of a tenant's incidents: an approximate index over all tenants would find the neighbours of others first.
CREATE TABLE incident_features (
    tenant      text   NOT NULL,
    incident_id text   NOT NULL,
    version     bigint NOT NULL,
    onset_ns    bigint NOT NULL,
    features    jsonb  NOT NULL,
    vector      vector(512) NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, incident_id)
);
