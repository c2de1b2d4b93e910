"""Files that nothing runs here: Compose, Dockerfile, ClickHouse limits. What can be checked about them is."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer.main
import yaml

from schemas.settings import Settings
from schemas.topics import LOGS, METRICS, TRACES
from topologies.cli import app

ROOT = Path(__file__).parents[2]
PREFIX = "INCIDENTSCOPE_"


@pytest.fixture
def compose() -> dict[str, Any]:
    """Return the parsed Compose file."""
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


def filled(value: str) -> str:
    """Fill ``${NAME:-default}`` with its default, as Compose does."""
    while "${" in value:
        before, _, rest = value.partition("${")
        inside, _, after = rest.partition("}")
        value = before + inside.partition(":-")[2] + after
    return value


@pytest.mark.parametrize("service", ["worker", "api"])
def test_compose_settings_are_settings_of_ours(compose: dict[str, Any], service: str) -> None:
    """A misspelt variable would be ignored in silence."""
    environment = compose["services"][service]["environment"]
    names = {name.removeprefix(PREFIX).lower(): filled(value) for name, value in environment.items()}
    assert set(names) <= set(Settings.model_fields)
    settings = Settings(_env_file=None, **names)
    assert settings.kafka_brokers == "kafka:9092"
    assert all(dsn.get_secret_value() for dsn in (settings.clickhouse_dsn, settings.postgres_dsn, settings.redis_url))


def test_addresses_in_compose_name_services_and_databases_in_compose(compose: dict[str, Any]) -> None:
    """The logins and names on both sides are the same."""
    services = compose["services"]
    environment = {name: filled(value) for name, value in services["worker"]["environment"].items()}
    postgres, clickhouse = services["postgres"]["environment"], services["clickhouse"]["environment"]
    assert environment["INCIDENTSCOPE_POSTGRES_DSN"] == (
        f"postgresql://{postgres['POSTGRES_USER']}:{filled(postgres['POSTGRES_PASSWORD'])}"
        f"@postgres:5432/{postgres['POSTGRES_DB']}"
    )
    assert environment["INCIDENTSCOPE_CLICKHOUSE_DSN"] == (
        f"clickhouse://{clickhouse['CLICKHOUSE_USER']}:{filled(clickhouse['CLICKHOUSE_PASSWORD'])}"
        f"@clickhouse:8123/{clickhouse['CLICKHOUSE_DB']}"
    )
    password = filled(services["redis"]["environment"]["REDISCLI_AUTH"])
    assert environment["INCIDENTSCOPE_REDIS_URL"] == f"redis://:{password}@redis:6379/0"
    assert password in map(filled, services["redis"]["command"])


def test_compose_publishes_on_loopback_only(compose: dict[str, Any]) -> None:
    """A laptop in a café must not offer its database."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_images_are_pinned(compose: dict[str, Any]) -> None:
    """The same file gives the same servers tomorrow."""
    images = [service["image"] for service in compose["services"].values() if "build" not in service]
    assert all(":" in image and not image.endswith(":latest") for image in images)


def test_compose_mounts_and_commands_exist(compose: dict[str, Any]) -> None:
    """Every mounted file of ours is in the repository, every command is one of ours."""
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).is_file(), volume
    assert {compose["services"][name]["command"] for name in ("worker", "api")} <= commands


def test_the_image_has_every_package_of_the_distribution() -> None:
    """A package forgotten in the Dockerfile is missed at run time only."""
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    for package in ("schemas", "streams", "topologies", "sinks", "api", "deploy"):
        assert f"COPY {package} /src/{package}" in dockerfile


def test_clickhouse_limits_are_well_formed() -> None:
    """The largest self-observation tables are off, the query log is kept a day."""
    root = ElementTree.parse(ROOT / "deploy" / "docker" / "clickhouse" / "limits.xml").getroot()
    removed = {element.tag for element in root if element.get("remove") == "1"}
    assert {"trace_log", "metric_log", "asynchronous_metric_log", "text_log"} <= removed
    assert "INTERVAL 1 DAY" in (root.findtext("query_log/ttl") or "")


def test_the_collector_sends_to_our_topics_in_records_they_take() -> None:
    """Topic names, tenant header and size limit agree with the words."""
    config = yaml.safe_load((ROOT / "deploy" / "collector" / "config.yaml").read_text())
    kafka = config["exporters"]["kafka"]
    for signal, topic in (("traces", TRACES), ("metrics", METRICS), ("logs", LOGS)):
        assert kafka[signal] == {"topic": topic.name, "encoding": "otlp_proto"}
        assert kafka["producer"]["max_message_bytes"] <= topic.max_message_bytes
    assert kafka["include_metadata_keys"] == config["processors"]["batch"]["metadata_keys"] == ["x-tenant-id"]
