"""The command line: ``incidentscope COMMAND``. Every command imports what it needs when it runs.

Exit status: 0 done, 1 a check or a demo did not pass, 2 something is missing or wrong before start (the message
says what to do), 3 a service cannot be reached, 130 ended by Ctrl-C.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import ValidationError

from schemas.errors import SetupError, StoreError
from schemas.settings import Settings
from topologies import logs

T = TypeVar("T")

app = typer.Typer(
    name="incidentscope",
    help="Telemetry in, ranked incidents and alerts out.\n\n"
    "Settings are environment variables (INCIDENTSCOPE_..., or a .env file); an empty service address means the "
    "embedded service. Start with `incidentscope demo`, or `incidentscope up` and send OTLP to it; when something "
    "does not work, `incidentscope doctor` says what to do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its frames would show local variables, and with them secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUN, DATA, OPERATE = "Run", "Look back", "Set up and check"


@app.command(rich_help_panel=RUN)
def up() -> None:
    """Run the stack and the product in this process until Ctrl-C.

    Embedded services are started for every address that is not set, and end with the command. Their data stays
    in INCIDENTSCOPE_DATA_DIR (default .incidentscope) for the next start.
    """
    from topologies.product import until_told_to_stop
    from topologies.up import run_up

    _run(until_told_to_stop(run_up(_settings())))


@app.command(rich_help_panel=RUN)
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the first fault: status 0 only if it was found and named first.")
    ] = False,
    fault: Annotated[
        str, typer.Option(help="Which fault to inject, or several with commas; --list-faults names them.")
    ] = "",
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Name the faults and end.")] = False,
    rate: Annotated[float, typer.Option(min=0, max=200, help="User journeys a second; 0 = the usual 12.")] = 0.0,
    record: Annotated[
        Path | None, typer.Option(file_okay=False, help="Write the telemetry to this folder as a recording, then end.")
    ] = None,
) -> None:
    """Watch a real small shop break: one fault, one incident, ranked causes, a delivered alert.

    Starts the stack, the product, a shop of real services instrumented with OpenTelemetry, and load on it. Warms
    up, injects the fault, shows live what happens, compares with the truth, then serves until Ctrl-C.
    """
    from topologies import demo as demonstration
    from topologies.product import until_told_to_stop

    if list_faults:
        for name, meaning in demonstration.faults().items():
            typer.echo(f"{name:<16} {meaning}")
        return
    settings = _settings(log_to_file=True)
    work = demonstration.run_demo(settings, fault=fault, once=once, record=record, rate_per_s=rate)
    passed = _run(until_told_to_stop(work))
    raise typer.Exit(0 if passed or not once else 1)


@app.command(rich_help_panel=RUN)
def worker() -> None:
    """Run one worker against real services (Kafka, ClickHouse, PostgreSQL, Redis) until Ctrl-C.

    Any number of workers share the work by the consumer group; keep INCIDENTSCOPE_PARTITIONS at least four
    times their number. Run `incidentscope topics` and `incidentscope migrate` once before.
    """
    from topologies.product import run_worker_alone, until_told_to_stop

    _run(until_told_to_stop(run_worker_alone(_real_services(_settings(), "worker"))))


@app.command(rich_help_panel=RUN)
def api() -> None:
    """Serve the HTTP API against real services until Ctrl-C; any number of replicas.

    Listens on INCIDENTSCOPE_API_HOST and INCIDENTSCOPE_API_PORT. /docs describes it.
    """
    from topologies.product import run_api, until_told_to_stop

    _run(until_told_to_stop(run_api(_real_services(_settings(), "api"))))


@app.command(rich_help_panel=OPERATE)
def migrate() -> None:
    """Bring the tables in ClickHouse and PostgreSQL to this version; does nothing when they are.

    `up` and `demo` do it by themselves. Migrations only add, so the version before still works afterwards.
    """
    from topologies import preparing

    settings = _real_services(_settings(), "migrate")
    for store, step in (("ClickHouse", preparing.migrate_clickhouse), ("PostgreSQL", preparing.migrate_postgres)):
        applied = _run(step(settings))
        typer.echo(f"{store}: applied {', '.join(applied)}" if applied else f"{store}: nothing to do")


@app.command(rich_help_panel=OPERATE)
def topics() -> None:
    """Create the Kafka topics that are missing, and show all of ours.

    Refuses topics that exist with another number of partitions, or compacted where they must not be.
    """
    from topologies import preparing

    settings = _with_running_stack(_settings())
    if not settings.kafka_brokers:
        _give_up(SetupError("no broker is set and no embedded stack is running", "set INCIDENTSCOPE_KAFKA_BROKERS"))
    for topic in _run(preparing.topics(settings)):
        typer.echo(f"{topic.name:<40} {topic.partitions:>3} partitions{'  created' if topic.created else ''}")


@app.command(rich_help_panel=DATA)
def replay(
    recording: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder of a recording (docs/recordings.md).")
    ],
    speed: Annotated[float, typer.Option(min=0, help="Times recorded speed; 0 = as fast as it goes.")] = 1.0,
    tenant: Annotated[str, typer.Option(help="Tenant to send it as; default: the recording's name.")] = "",
) -> None:
    """Send a recording through the topics of a running stack, with a progress bar.

    The recording's own time decides what happens, so the speed changes nothing but how long it takes.
    """
    from topologies.product import until_told_to_stop
    from topologies.replay import run_replay

    settings = _with_running_stack(_settings(log_to_file=True))
    if not settings.kafka_brokers:
        remedy = "start `incidentscope up` in another terminal, or set INCIDENTSCOPE_KAFKA_BROKERS"
        _give_up(SetupError("there is no broker to send it to", remedy))
    _run(until_told_to_stop(run_replay(settings, recording, speed=speed, tenant=tenant)))


@app.command(rich_help_panel=DATA)
def evaluate(
    recordings: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="Folders of recordings with labels.")
    ],
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
) -> None:
    """Judge the product on recorded outages: recall, false alarms, time to detect, AC@1, AC@3, Avg@5.

    Each recording goes through the same operators into a fresh state, without any service; docs/recordings.md
    defines the figures.
    """
    from topologies.evaluate import evaluate as judge

    judge(recordings, json_file)


@app.command(rich_help_panel=OPERATE)
def doctor() -> None:
    """Check everything the product depends on, and say what to do about what is wrong.

    Broker, topics, stores, migrations, versions, clock, alert target. Uses the embedded stack that is running on
    the data folder, or starts it for the check. Status 1 when something needs you.
    """
    from topologies.doctor import examine

    healthy = _run(examine(_settings(log_to_file=True), typer.echo))
    raise typer.Exit(0 if healthy else 1)


def main() -> None:
    """Run the command line (console script)."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


def _settings(*, log_to_file: bool = False) -> Settings:
    """Read the settings and set logging up; to a file for commands that draw on the terminal."""
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = [f"INCIDENTSCOPE_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors()]
        _give_up(SetupError("some settings cannot be used: " + "; ".join(wrong), "their meaning: schemas/settings.py"))
    if log_to_file:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    logs.configure(settings.log_level, to=settings.data_dir / "incidentscope.log" if log_to_file else None)
    return settings


def _with_running_stack(settings: Settings) -> Settings:
    """Fill empty addresses from the embedded stack that runs on the data folder, if one does."""
    from deploy.embedded import attached

    return attached(settings) or settings


def _real_services(settings: Settings, command: str) -> Settings:
    """Refuse to run a command of the distributed set-up while an address is empty."""
    addresses = {
        "KAFKA_BROKERS": settings.kafka_brokers,
        "CLICKHOUSE_DSN": settings.clickhouse_dsn.get_secret_value(),
        "POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }
    missing = [f"INCIDENTSCOPE_{name}" for name, address in addresses.items() if not address]
    if missing:
        problem = f"`incidentscope {command}` needs services of yours, and these are not set: {', '.join(missing)}"
        _give_up(SetupError(problem, "set them, or run `incidentscope up`, which has everything embedded"))
    return settings


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end; turn what is wrong before start, or out of reach, into a message and a status."""
    try:
        return asyncio.run(work)
    except (SetupError, StoreError) as error:
        _give_up(error)


def _give_up(error: SetupError | StoreError) -> NoReturn:
    typer.secho(f"incidentscope: {error}", fg="red", err=True)
    if isinstance(error, SetupError):
        raise typer.Exit(2)
    typer.secho("  -> `incidentscope doctor` checks every service and says what to do", fg="red", err=True)
    raise typer.Exit(3)
