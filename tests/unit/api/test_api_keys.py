"""Keys: where they come from, whose they are, and that the first one is made once and kept private."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from api.auth import KeyRing, presented_key
from schemas.errors import SetupError
from schemas.settings import Settings
from sinks.api_keys import KEY_FILE, first_key, tenants_by_key


def settings_of(keys: str, data_dir: Path = Path("unused")) -> Settings:
    """Make settings with these keys."""
    return Settings(api_keys=SecretStr(keys), data_dir=data_dir, _env_file=None)


def test_a_key_opens_its_own_tenant_only() -> None:
    """And an unknown, shortened or extended key opens none."""
    ring = KeyRing({"key-of-a-1": "a", "key-of-b-1": "b"})
    assert (ring.tenant_of(b"key-of-a-1"), ring.tenant_of(b"key-of-b-1")) == ("a", "b")
    assert [ring.tenant_of(key) for key in (b"", b"key-of-a", b"key-of-a-12", b"KEY-OF-A-1", b"\xff")] == [None] * 5


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({b"authorization": b"Bearer abc"}, b"abc"),
        ({b"authorization": b"bearer  abc "}, b"abc"),
        ({b"x-api-key": b"abc"}, b"abc"),
        ({b"authorization": b"Basic eDp5", b"x-api-key": b"abc"}, b"abc"),
        ({b"authorization": b"Bearer one", b"x-api-key": b"two"}, b"one"),
        ({b"authorization": b"Bearer"}, None),
        ({b"x-api-key": b" "}, None),
        ({}, None),
    ],
)
def test_a_key_comes_as_bearer_token_or_in_its_own_header(headers: dict[bytes, bytes], key: bytes | None) -> None:
    """The scheme's case does not matter (RFC 9110)."""
    assert presented_key(headers) == key


def test_the_first_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    """Also when several processes start at the same time."""
    folder = tmp_path / "new" / "data"
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(first_key, [folder] * 32))
    assert len(found) == 1
    assert len(found.pop()) > 30
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_without_keys_in_the_settings_the_first_key_opens_the_default_tenant(tmp_path: Path) -> None:
    """A newcomer needs no configuration."""
    assert tenants_by_key(settings_of("", tmp_path)) == {first_key(tmp_path): "default"}


def test_a_key_may_hold_colons() -> None:
    """The tenant is what follows the last one; a tenant id never holds one."""
    assert tenants_by_key(settings_of("a:b:c:d:e:f, 12345678:other,")) == {"a:b:c:d:e": "f", "12345678": "other"}


@pytest.mark.parametrize(
    "keys", ["short:a", "12345678", "12345678:", "12345678:a b", "12345678:a,12345678:b", ":a", "schlüssel1:a"]
)
def test_a_senseless_entry_is_named_by_its_place_and_never_quoted(keys: str) -> None:
    """A secret must not end in a log."""
    with pytest.raises(SetupError) as refused:
        tenants_by_key(settings_of(keys))
    assert "entry" in str(refused.value)
    assert "12345678" not in str(refused.value)


def test_a_key_file_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    """With the remedy."""
    (tmp_path / KEY_FILE).write_text("\n")
    with pytest.raises(SetupError, match="delete it"):
        first_key(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="INCIDENTSCOPE_API_KEYS"):
        first_key(tmp_path / "file")
