"""Settings, read once at an entry point from ``INCIDENTSCOPE_*`` variables (or ``.env``) and handed down as values.

An empty store address means the embedded one, which the embedded stack fills in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.failpoints import parse_failpoints
from schemas.keys import RESERVED_TENANTS, is_tenant


class Settings(BaseSettings):
    """Everything an operator can set. Durations are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="INCIDENTSCOPE_", env_file=".env", frozen=True, extra="ignore")

    data_dir: Path = Field(Path(".incidentscope"), description="Folder of the embedded stack and of local files.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    kafka_brokers: str = Field("", description="host:port[,host:port]; empty = embedded broker.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")
    kafka_ca_file: Path | None = None
    kafka_check_crcs: bool = Field(
        True, description="Check the checksums of what is fetched; off saves a seventh of what fetching costs."
    )
    kafka_replication: int = Field(1, ge=1)
    consumer_group: str = Field("incidentscope", min_length=1)
    partitions: int = Field(4, ge=1, le=256, description="Of every topic; at least 4 x the workers.")
    session_timeout_s: float = Field(6.0, gt=0, description="6 on the embedded broker, 45 is usual on Apache Kafka.")

    clickhouse_dsn: SecretStr = Field(SecretStr(""), description="clickhouse://user:password@host:8123/database")
    postgres_dsn: SecretStr = Field(SecretStr(""), description="postgresql://user:password@host:5432/database")
    redis_url: SecretStr = Field(SecretStr(""), description="redis://:password@host:6379/0 or unix://path")

    default_tenant: str = "default"
    operator_tenant: str = Field(
        "",
        description="Whose API key sees the whole ingest, and who is told when it is not well; empty = default tenant.",
    )
    ingest_delay_alert_s: float = Field(
        120.0, ge=0, description="Tell the operator when records wait longer than this to be stored; 0 = never."
    )
    missing_tenant: Literal["default", "dead_letter"] = Field(
        "default", description="What to do with a record whose x-tenant-id header is missing or not a tenant id."
    )

    max_unpacked_bytes: int = Field(
        20 * 1024 * 1024, ge=1024, description="Of one record after decompression; more is a dead letter (too_large)."
    )
    dead_letter_in_a_row: int = Field(
        1_000,
        ge=0,
        description="So many refused records of a tenant in a row are suspicious (ADR 63); 0 = no such limit.",
    )
    dead_letter_ratio: float = Field(
        0.5, ge=0, le=1, description="More than this share of a tenant's last records is suspicious; 0 = no such limit."
    )
    dead_letter_window: int = Field(1_000, ge=1, description="Records of a tenant that the share is taken of.")
    dead_letters_kept: int = Field(
        10_000, ge=1, description="Of one tenant in the table, the newest; the topic keeps all of them for 14 days."
    )
    dead_letter_retention_days: int = Field(14, ge=1)

    pane_s: int = Field(10, ge=1, le=3600)
    window_s: int = Field(60, ge=1, le=86_400, description="A multiple of the pane.")
    lateness_s: float = Field(60.0, ge=0, description="A pane takes data until its end plus this, then closes.")
    remeasure_wait_s: float = Field(
        30.0, ge=0, description="A pane is measured again this long after its first late item, so that more can come."
    )
    remeasure_max_items: int = Field(
        300_000, ge=1, description="Spans, and log records, that are read to measure panes again; more is not measured."
    )
    settle_s: float = Field(5.0, ge=0, description="A pane is first published at its end plus this.")
    pair_wait_s: float = Field(10.0, ge=0, description="How long a half edge waits for its other half.")
    tick_interval_s: float = Field(1.0, gt=0)
    flush_interval_s: float = Field(1.0, gt=0)

    signature_severity: Literal["trace", "debug", "info", "warn", "error", "fatal"] = Field(
        "warn", description="Log records from this severity on get a signature; it costs about 10 µs a record."
    )
    batch_records: int = Field(4096, ge=1, description="Records of a topic that are decoded at once, or a few more.")
    batch_bytes: int = Field(
        16 * 1024**2,
        ge=1024,
        description="Bytes of records in a batch. A stage holds at most five of them: two in its buffer, one being "
        "taken, one being decoded, one being told.",
    )
    insert_bytes: int = Field(
        40 * 1024**2,
        ge=1024,
        description="Bytes of records stored with one insert into ClickHouse: two batches, or many small ones. Of each"
        " raw topic at most two such inserts are in memory: one waits, one is being stored. Inserts of a third of the"
        " size cost half as much again for each span, and twice as much for each log record.",
    )
    insert_wait_s: float = Field(
        5.0,
        ge=0,
        description="While little comes, a raw topic is inserted into ClickHouse so rarely that its inserts take a "
        "sixteenth of the time, yet at least this often: so much later can be looked up what has come. 0 = at once.",
    )

    state_bytes: int = Field(
        128 * 1024**2,
        ge=64 * 1024,
        description="Of each partition, bytes of what is remembered of services in each of four tables (baselines,"
        " hours of the week, budgets, log templates). Beyond it services not heard of for longest are forgotten, which"
        " is counted, and learned anew when they come back.",
    )

    normalise_operations: bool = Field(
        True, description="Windows name operations without ids: GET /users/42 is GET /users/{id}. Stored spans stay."
    )

    text_similarity: bool = Field(
        True,
        description="Incidents are compared by the meaning of their error lines too: now and then a child process"
        " of some 600 MiB at a low priority.",
    )

    worker_port: int = Field(
        0, ge=0, le=65535, description="Where a worker serves /metrics, /livez and /readyz on loopback; 0 = nowhere."
    )

    api_host: str = "127.0.0.1"
    api_port: int = Field(8080, ge=0, le=65535, description="0 = any free port.")
    api_keys: SecretStr = Field(
        SecretStr(""), description="key:tenant[,key:tenant]; empty = one key made at first start."
    )
    api_max_body_bytes: int = Field(4_194_304, ge=1024, description="Of an OTLP body as sent; unpacked, 20 MiB.")
    api_headers_timeout_s: float = Field(
        10.0, gt=0, description="A connection whose request headers are not here by then is cut off."
    )
    api_body_timeout_s: float = Field(
        30.0, gt=0, description="A body must have come, and an answer must have been taken, within this time."
    )
    api_max_connections: int = Field(
        512, ge=1, description="Of one API process at once; more are answered 503. Each takes a file descriptor."
    )
    api_answers_at_once: int = Field(
        16, ge=1, description="Requests (telemetry apart) that are worked on at once; further ones wait, 10 s at most."
    )
    api_answers_of_tenant: int = Field(
        8, ge=1, description="Of one tenant at once, until their answers are taken; 64 more wait, beyond: 429."
    )
    api_open_metrics: bool = Field(
        False, description="Tell /metrics without a key also where several tenants have keys; else to the operator's."
    )
    api_rate_limit_per_s: float = Field(
        0.0, ge=0, description="Requests per second of one tenant, over all API replicas; 0 = no limit."
    )

    false_alarms_per_day: float = Field(
        0.5,
        ge=1e-5,
        le=25.0,
        description="Sensitivity: so many false alarms a day are expected of a service at most, of all its series"
        " together, as long as nothing but chance moves it (a daily rhythm does). Callers, operations and instances"
        " share them. An alarm is no incident yet. Less is calmer.",
    )
    slo_objective: float = Field(
        0.995, gt=0, lt=1, description="Share of a service's requests that must succeed (its error budget)."
    )
    slo_latency_ms: float = Field(
        0.0,
        ge=0,
        le=3_600_000,
        description="Requests that take longer do not meet the latency objective; 0 = there is none. Counts as the next"
        " edge of a latency bin, at most 3.1 % later.",
    )
    slo_latency_objective: float = Field(
        0.95, gt=0, lt=1, description="Share of a service's requests that must not take longer (its latency budget)."
    )

    alert_webhook_url: str = Field(
        "", description="Where the default route posts alerts; empty = stored, sent nowhere, and said so."
    )
    alert_webhook_secret: SecretStr = Field(SecretStr(""), description="HMAC-SHA256 key of outgoing webhooks.")
    alert_webhook_allow_private: bool = Field(
        False, description="Allow webhook targets on private or loopback addresses."
    )
    alert_group_wait_s: float = Field(
        30.0, ge=0, description="Wait this long after opening before the first notification."
    )
    alert_repeat_interval_s: float = Field(4 * 3600.0, gt=0)
    alert_min_severity: Literal["low", "medium", "high", "critical"] = "low"

    raw_retention_days: int = Field(14, ge=1)
    pane_retention_hours: int = Field(48, ge=1)
    minute_retention_days: int = Field(400, ge=1)

    failpoint: str = Field(
        "",
        description="For tests: NAME[:NTH][,...], where the worker kills itself (schemas/failpoints.py).",
    )

    @field_validator("failpoint")
    @classmethod
    def _known_failpoint(cls, text: str) -> str:
        parse_failpoints(text)
        return text

    @field_validator("default_tenant", "operator_tenant")
    @classmethod
    def _tenants(cls, text: str, info: ValidationInfo) -> str:
        if not is_tenant(text) and (text or info.field_name == "default_tenant"):
            reserved = ", ".join(sorted(RESERVED_TENANTS))
            raise ValueError(f"a tenant is 1 to 64 letters, digits, '.', '_' or '-', and not one of: {reserved}")
        return text

    @model_validator(mode="after")
    def _window_of_panes(self) -> Self:
        if self.window_s % self.pane_s:
            raise ValueError(
                f"INCIDENTSCOPE_WINDOW_S ({self.window_s}) is no multiple of INCIDENTSCOPE_PANE_S ({self.pane_s})"
            )
        return self

    @property
    def operator(self) -> str:
        """The tenant of whoever runs the installation."""
        return self.operator_tenant or self.default_tenant

    @property
    def pane_ns(self) -> int:
        """Pane length in nanoseconds."""
        return self.pane_s * 1_000_000_000
