CREATE TABLE deploys (
    tenant      text   NOT NULL,
    deploy_id   text   NOT NULL,
    service     text   NOT NULL,
    at_ns       bigint NOT NULL,
    document    jsonb  NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, deploy_id)
);
CREATE INDEX deploys_by_time ON deploys (tenant, at_ns DESC, deploy_id DESC);
CREATE INDEX deploys_by_service ON deploys (tenant, service, at_ns DESC);

CREATE TABLE alerts (
    tenant      text   NOT NULL,
    alert_id    text   NOT NULL,
    incident_id text   NOT NULL,
    at_ns       bigint NOT NULL,
    document    jsonb  NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, alert_id)
);
CREATE INDEX alerts_by_time ON alerts (tenant, at_ns DESC, alert_id DESC);
CREATE INDEX alerts_by_incident ON alerts (tenant, incident_id, at_ns DESC);

-- The outbox: one row for each receiver of an alert, so that one receiver's failure repeats nothing for another.
-- The *_ns columns here are the dispatcher's wall clock.
CREATE TABLE alert_deliveries (
    tenant          text    NOT NULL,
    alert_id        text    NOT NULL,
    receiver        text    NOT NULL,
    status          text    NOT NULL CHECK (status IN ('pending', 'delivered', 'dead', 'no_receiver')),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_ns bigint  NOT NULL,
    lease           uuid,
    finished_ns     bigint,
    detail          text    NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, alert_id, receiver),
    FOREIGN KEY (tenant, alert_id) REFERENCES alerts ON DELETE CASCADE
);
CREATE INDEX alert_deliveries_due ON alert_deliveries (next_attempt_ns) WHERE status = 'pending';

-- Every attempt, also one whose process died before it could say how it went (outcome 'started').
CREATE TABLE alert_attempts (
    tenant      text    NOT NULL,
    alert_id    text    NOT NULL,
    receiver    text    NOT NULL,
    attempt     integer NOT NULL,
    started_ns  bigint  NOT NULL,
    finished_ns bigint,
    outcome     text    NOT NULL CHECK (outcome IN ('started', 'delivered', 'failed', 'refused')),
    status_code integer,
    detail      text    NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, alert_id, receiver, attempt),
    FOREIGN KEY (tenant, alert_id, receiver) REFERENCES alert_deliveries ON DELETE CASCADE
);
