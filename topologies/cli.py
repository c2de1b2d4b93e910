"""The command line: ``incidentscope COMMAND``. Every command imports what it needs when it runs.

Exit status: 0 done, 1 a check or a demo did not pass, 2 something is missing or wrong before start (the message
says what to do), 3 a service cannot be reached, 130 ended by Ctrl-C.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import SetupError
from topologies import dlq
from topologies.commands import (
    give_up,
    read_settings,
    real_services,
    run_to_end,
    told_to_the_user,
    with_running_stack,
)

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

    run_to_end(until_told_to_stop(run_up(read_settings())))


@app.command(rich_help_panel=RUN)
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the first fault: status 0 only if it was found and named first.")
    ] = False,
    fault: Annotated[
        str, typer.Option(help="Which fault to inject, or several with commas; --list-faults names them.")
    ] = "",
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Name the faults and end.")] = False,
    rate: Annotated[float, typer.Option(min=0, max=200, help="User journeys a second; 0 = the usual 6.")] = 0.0,
) -> None:
    """Watch a real small shop break: one fault, one incident, ranked causes, a delivered alert.

    Starts the stack, the product, a shop of real services instrumented with OpenTelemetry, and load on it. Warms
    up, injects the fault, shows live what happens, compares with the truth, then serves until Ctrl-C.
    """
    from topologies import demo as demonstration
    from topologies.product import until_told_to_stop

    if list_faults:
        faults = demonstration.faults()
        width = max(map(len, faults))
        for name, meaning in faults.items():
            typer.echo(f"{name:<{width}} {meaning}")
        return
    settings = read_settings(log_to_file=True)
    work = demonstration.run_demo(settings, fault=fault, once=once, rate_per_s=rate)
    passed = run_to_end(until_told_to_stop(work))
    raise typer.Exit(0 if passed or not once else 1)


@app.command(rich_help_panel=DATA)
def record(
    folder: Annotated[Path | None, typer.Argument(file_okay=False, help="Where each gets a folder of its own.")] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Which to record; several times for several; none = all.")
    ] = None,
    list_scenarios: Annotated[bool, typer.Option("--list", help="Name the scenarios and end.")] = False,
) -> None:
    """Record scenarios of the demo shop: faults, bad deploys and quiet times, with the truth as labels.

    Needs no product, only the shop; about ten minutes each, one after the other. What is there already is left
    alone. Status 1 when the machine was too busy for one of them to be of use.
    """
    from topologies.demo.recording import record_all, scenarios
    from topologies.product import until_told_to_stop

    if list_scenarios or folder is None:
        for name, meaning in scenarios().items():
            typer.echo(f"{name:<26} {meaning}")
        return
    work = record_all(read_settings(log_to_file=True), folder, scenario or [], typer.echo)
    steady = run_to_end(until_told_to_stop(work))
    raise typer.Exit(0 if steady else 1)


@app.command(rich_help_panel=RUN)
def worker() -> None:
    """Run one worker against real services (Kafka, ClickHouse, PostgreSQL, Redis) until Ctrl-C.

    Any number of workers share the work by the consumer group; keep INCIDENTSCOPE_PARTITIONS at least four
    times their number. Run `incidentscope topics` and `incidentscope migrate` once before.
    """
    from topologies.product import run_worker_alone, until_told_to_stop

    run_to_end(until_told_to_stop(run_worker_alone(real_services(read_settings(), "worker"))))


@app.command(rich_help_panel=RUN)
def api() -> None:
    """Serve the HTTP API against real services until Ctrl-C; any number of replicas.

    Listens on INCIDENTSCOPE_API_HOST and INCIDENTSCOPE_API_PORT. /docs describes it.
    """
    from topologies.product import run_api, until_told_to_stop

    run_to_end(until_told_to_stop(run_api(real_services(read_settings(), "api"))))


@app.command(rich_help_panel=OPERATE)
def migrate() -> None:
    """Bring the tables in ClickHouse and PostgreSQL to this version; does nothing when they are.

    `up` and `demo` do it by themselves. Migrations only add, so the version before still works afterwards.
    """
    from topologies import preparing

    settings = real_services(read_settings(), "migrate")
    for store, step in (("ClickHouse", preparing.migrate_clickhouse), ("PostgreSQL", preparing.migrate_postgres)):
        applied = run_to_end(step(settings))
        typer.echo(f"{store}: applied {', '.join(applied)}" if applied else f"{store}: nothing to do")


@app.command(rich_help_panel=OPERATE)
def topics() -> None:
    """Create the Kafka topics that are missing, and show all of ours.

    Refuses topics that exist with another number of partitions, or compacted where they must not be.
    """
    from topologies import preparing

    settings = with_running_stack(read_settings())
    if not settings.kafka_brokers:
        give_up(SetupError("no broker is set and no embedded stack is running", "set INCIDENTSCOPE_KAFKA_BROKERS"))
    for topic in run_to_end(preparing.topics(settings)):
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

    settings = with_running_stack(read_settings(log_to_file=True))
    if not settings.kafka_brokers:
        remedy = "start `incidentscope up` in another terminal, or set INCIDENTSCOPE_KAFKA_BROKERS"
        give_up(SetupError("there is no broker to send it to", remedy))
    run_to_end(until_told_to_stop(run_replay(settings, recording, speed=speed, tenant=tenant)))


@app.command(rich_help_panel=DATA)
def evaluate(
    recordings: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="Folders of recordings with labels.")
    ],
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
    report_dir: Annotated[
        Path | None, typer.Option("--report", help="Also write a page with a plot for each fault to this folder.")
    ] = None,
    continued: Annotated[
        bool, typer.Option("--continued", help="Also play the recordings of each system on through the same state.")
    ] = False,
    moved: Annotated[
        float, typer.Option("--moved", help="Move all times by so many seconds, so that panes have other edges.")
    ] = 0.0,
) -> None:
    """Judge the product on recorded outages: recall, false alarms, time to detect, AC@1, AC@3, Avg@5.

    Each recording goes through the same operators into a fresh state, without any service; docs/recordings.md
    defines the figures.
    """
    from topologies.evaluate import evaluate as judge

    if json_file is not None and not json_file.absolute().parent.is_dir():
        give_up(SetupError(f"{json_file.parent} is no folder", "make it, or write the figures to another file"))
    with told_to_the_user():
        judge(recordings, json_file, report_folder=report_dir, is_continued=continued, moved_s=moved)


@app.command(rich_help_panel=DATA)
def fit(
    recordings: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="Folders of recordings with labels.")
    ],
) -> None:
    """Fit the weights of the ranking to recordings, and tell what they are worth on those left out.

    Changes nothing: weights are versioned in the code.
    """
    from topologies.fitting import fit as fit_to

    with told_to_the_user():
        fit_to(recordings)


@app.command("rank", rich_help_panel=DATA)
def rank_again(
    incident: Annotated[str, typer.Argument(help="An incident's id or number.")],
    version: Annotated[int | None, typer.Option(min=0, help="Of its rankings; the newest if not given.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose incident; the default tenant's if not given.")] = None,
    today: Annotated[bool, typer.Option("--today", help="Also show it by the weights of this build.")] = False,
) -> None:
    """Make a stored ranking again from its snapshot, by the weights it was made with, and compare every digit.

    Changes nothing. Status 1 when the figures are not the stored ones.
    """
    from topologies.ranking_again import compare

    settings = with_running_stack(read_settings(log_to_file=True))
    tenant = tenant or settings.default_tenant
    is_same = run_to_end(compare(settings, tenant, incident, version, is_today_shown=today))
    raise typer.Exit(0 if is_same else 1)


@app.command(rich_help_panel=OPERATE)
def operations(
    recording: Annotated[
        Path | None, typer.Argument(exists=True, file_okay=False, help="A recording; the stored spans if not given.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose stored spans; the default tenant's if not given.")] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="How far back in the stored spans.")] = 1.0,
) -> None:
    """Show which span names are one operation in the windows (a dry run: nothing is changed).

    INCIDENTSCOPE_NORMALISE_OPERATIONS=false leaves names as they are sent.
    """
    from topologies.operation_names import names_in_recording, show_merges, stored_names

    settings = read_settings(log_to_file=True)
    if recording is not None:
        with told_to_the_user():
            show_merges(names_in_recording(recording), typer.echo)
        return
    show_merges(run_to_end(stored_names(settings, tenant or settings.default_tenant, hours)), typer.echo)


@app.command(rich_help_panel=OPERATE)
def doctor() -> None:
    """Check everything the product depends on, and say what to do about what is wrong.

    Broker, topics, stores, migrations, versions, clock, alert target. Uses the embedded stack that is running on
    the data folder, or starts it for the check. Status 1 when something needs you.
    """
    from topologies.doctor import examine

    healthy = run_to_end(examine(read_settings(log_to_file=True), typer.echo))
    raise typer.Exit(0 if healthy else 1)


@app.command(rich_help_panel=OPERATE)
def reconcile(
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the whole answer to this file.")] = None,
) -> None:
    """Compare what the broker was given with what became of it; name what is missing, by topic, partition and offset.

    Status 1 when something is missing. On an embedded stack it asks the running product, whose ClickHouse belongs
    to that process.
    """
    from topologies.reconciling import compare

    settings = with_running_stack(read_settings(log_to_file=True))
    complete = run_to_end(compare(settings, json_file, typer.echo))
    raise typer.Exit(0 if complete else 1)


app.add_typer(dlq.app, rich_help_panel=OPERATE)


def main() -> None:
    """Run the command line (console script)."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
