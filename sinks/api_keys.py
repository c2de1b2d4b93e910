"""API keys: from the settings, or the one key of a first start, kept in the data folder (mode 0600)."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from schemas.errors import SetupError
from schemas.keys import is_tenant
from schemas.settings import Settings

KEY_FILE: Final = "api-key"
MIN_KEY_CHARS: Final = 8


def first_key(data_dir: Path) -> str:
    """Return the key in ``data_dir/api-key``, made at the first call. Raises `SetupError` when it cannot be."""
    path = data_dir / KEY_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _write_once(path, secrets.token_urlsafe(32))
        key = path.read_text().strip()
    except OSError as error:
        raise SetupError(
            f"the API key file {path} cannot be used: {error.strerror}",
            "make the folder writable, or set INCIDENTSCOPE_API_KEYS=key:tenant",
        ) from error
    if not key:
        raise SetupError(f"the API key file {path} is empty", "delete it, and a new key is made at the next start")
    return key


def _write_once(path: Path, key: str) -> None:
    """Make the file with its content at once: a second process starting now sees all of it or nothing."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file_descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file_descriptor, "w") as file:
            file.write(key + "\n")
        os.link(draft, path)
    finally:
        draft.unlink()


def tenants_by_key(settings: Settings) -> dict[str, str]:
    """Return the tenant of each key: those of the settings, else the first key with the default tenant.

    Raises `SetupError` for an entry that is not ``key:tenant``, naming its place and never the key.
    """
    text = settings.api_keys.get_secret_value().strip()
    if not text:
        return {first_key(settings.data_dir): settings.default_tenant}
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    found: dict[str, str] = {}
    for place, entry in enumerate(entries, start=1):
        key, _, tenant = entry.rpartition(":")
        if len(key) < MIN_KEY_CHARS or not key.isascii() or not is_tenant(tenant) or key in found:
            raise SetupError(
                f"entry {place} of INCIDENTSCOPE_API_KEYS cannot be used",
                f"write key:tenant[,key:tenant], each key once, of {MIN_KEY_CHARS} or more ASCII characters,"
                " a tenant of letters, digits, dot, dash and underscore",
            )
        found[key] = tenant
    return found
