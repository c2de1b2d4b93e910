"""Who is asking: API keys, and the tenant each belongs to.

The tenant of a request is the tenant of its key; no header, parameter or payload can name another.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from api.problems import Problem, Slug

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="incidentscope"'}


class KeyRing:
    """The known keys, held as SHA-256 hashes (keys are random, so no slow hash is needed)."""

    def __init__(self, tenant_by_key: Mapping[str, str]) -> None:
        self._tenants = [(_digest(key.encode()), tenant) for key, tenant in tenant_by_key.items()]

    @property
    def tenants(self) -> set[str]:
        """Whose keys there are."""
        return {tenant for _, tenant in self._tenants}

    def tenant_of(self, key: bytes) -> str | None:
        """Return the key's tenant. Takes the same time for every key: all hashes are compared, in constant time."""
        asked, found = _digest(key), None
        for known, tenant in self._tenants:
            if hmac.compare_digest(asked, known):
                found = tenant
        return found


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def presented_key(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the key a client sent: ``Authorization: Bearer KEY``, else ``X-API-Key: KEY``."""
    scheme, _, credentials = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and credentials.strip():
        return credentials.strip()
    return headers.get(b"x-api-key", b"").strip() or None


def unauthenticated(detail: str = "Send `Authorization: Bearer <key>` or `X-API-Key: <key>`.") -> Problem:
    """Return the answer to a request without a valid key."""
    return Problem(Slug.UNAUTHENTICATED, detail, dict(_CHALLENGE))


_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key as bearer token.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="apiKey", description="The same key.")


def _tenant(
    request: Request,
    _documented_bearer: Annotated[object, Security(_bearer)],
    _documented_header: Annotated[object, Security(_header)],
) -> str:
    tenant = request.scope.get("state", {}).get("tenant")
    if not isinstance(tenant, str):  # the gate was not passed: a wiring mistake must not open the door
        raise unauthenticated()
    return tenant


Tenant = Annotated[str, Depends(_tenant)]
"""The tenant of the request's key, found by the gate before a byte of the body was read."""
