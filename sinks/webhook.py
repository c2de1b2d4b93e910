"""Outgoing webhooks: signed, bounded in time, and never to an address inside our own network.

A receiver checks a delivery like this (`verify` is the reference)::

    POST with the Alert as JSON, and
    X-IncidentScope-Timestamp: 1760000000              Unix seconds at the attempt
    X-IncidentScope-Signature: v1=<hex>                HMAC-SHA256(secret, timestamp + "." + raw body)
    X-IncidentScope-Delivery:  <alert_id>.<attempt>    the same alert may come twice; its alert_id never changes

    refuse when the timestamp is more than 5 minutes off, or when no v1 signature equals yours (constant time)

The address guard resolves the host once, refuses it when *any* of its addresses is not a public one, and then
connects to the address it has checked, so a name that answers differently a moment later changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
from asyncio import timeout
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import httpx

from schemas.errors import SetupError
from schemas.incidents import Alert
from schemas.settings import Settings
from sinks.addresses import Refused, Resolver, resolve_host, safe_address

TIMESTAMP_HEADER: Final = "X-IncidentScope-Timestamp"
SIGNATURE_HEADER: Final = "X-IncidentScope-Signature"
DELIVERY_HEADER: Final = "X-IncidentScope-Delivery"

TOLERANCE_S: Final = 300

_RETRIED_STATUS = frozenset({408, 425, 429})
_LAST_PORT = 65_535
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class Verdict(StrEnum):
    """What to do after an attempt."""

    DELIVERED = "delivered"
    RETRY_LATER = "retry_later"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt went. ``detail`` is for people and holds nothing of the receiver's answer but its status."""

    verdict: Verdict
    detail: str = ""
    status_code: int | None = None
    retry_after_s: float | None = None


def sign(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """Return the signature header's value for a body sent at ``timestamp_s``."""
    return "v1=" + hmac.new(secret, b"%d.%b" % (timestamp_s, body), hashlib.sha256).hexdigest()


def verify(secret: bytes, body: bytes, timestamp: str, signature: str, *, wall_s: float) -> bool:
    """Tell whether a delivery is ours and fresh: what a receiver does, with its own clock as ``wall_s``.

    ``timestamp`` and ``signature`` are the headers as received; several signatures may be given, separated by
    commas, while a secret is exchanged.
    """
    if not _TIMESTAMP.fullmatch(timestamp) or abs(wall_s - int(timestamp)) > TOLERANCE_S:
        return False
    expected = sign(secret, int(timestamp), body).encode()
    given = [part.strip().encode() for part in signature.split(",")]
    return any(hmac.compare_digest(expected, part) for part in given)


class Webhook:
    """Posts alerts to one URL. Open it once, use it for every alert, close it."""

    def __init__(
        self,
        url: str,
        secret: bytes,
        *,
        allow_private: bool = False,
        deadline_s: float = 10.0,
        resolve: Resolver = resolve_host,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self._url = _checked_url(url)
        self._secret = secret
        self._allow_private = allow_private
        self._deadline_s = deadline_s
        self._resolve = resolve
        # trust_env=False: a proxy from the environment would resolve the name again, behind the guard's back.
        self._client = httpx.AsyncClient(
            verify=tls, trust_env=False, follow_redirects=False, timeout=httpx.Timeout(deadline_s)
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """Make the webhook of the default route, None when no URL is set.

        Raises `SetupError` for a URL that is none, and for one without a secret.
        """
        if not settings.alert_webhook_url:
            return None
        secret = settings.alert_webhook_secret.get_secret_value().encode()
        if not secret:
            raise SetupError(
                "a webhook URL is set, but no secret to sign with",
                "set INCIDENTSCOPE_ALERT_WEBHOOK_SECRET, for example to the output of: openssl rand -hex 32",
            )
        return cls(settings.alert_webhook_url, secret, allow_private=settings.alert_webhook_allow_private)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def deliver(self, alert: Alert, attempt: int, *, wall_s: float) -> Outcome:
        """Post the alert once and say how it went; never raises for what the network or the receiver does."""
        try:
            async with timeout(self._deadline_s):
                return await self._post(alert, attempt, int(wall_s))
        except Refused as refusal:
            return Outcome(Verdict.NEVER, str(refusal))
        except TimeoutError:
            return Outcome(Verdict.RETRY_LATER, f"no answer in {self._deadline_s:g} s")
        except (httpx.HTTPError, OSError) as error:
            return Outcome(Verdict.RETRY_LATER, f"{type(error).__name__}: {error}"[:300])

    async def _post(self, alert: Alert, attempt: int, timestamp_s: int) -> Outcome:
        host = self._url.raw_host.decode("ascii")
        address = await safe_address(host, _port(self._url), allow_private=self._allow_private, resolve=self._resolve)
        body = alert.model_dump_json().encode()
        headers = {
            "Host": self._url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": "IncidentScope",
            TIMESTAMP_HEADER: str(timestamp_s),
            SIGNATURE_HEADER: sign(self._secret, timestamp_s, body),
            DELIVERY_HEADER: f"{alert.alert_id}.{attempt}",
        }
        request = self._client.build_request(
            "POST",
            self._url.copy_with(host=address),
            content=body,
            headers=headers,
            extensions={"sni_hostname": host},  # the certificate must be the name's, not the address's
        )
        response = await self._client.send(request, stream=True)
        await response.aclose()  # the body is not read: it may be endless, and it is nobody's business
        return _judge(response)


def _judge(response: httpx.Response) -> Outcome:
    status = response.status_code
    detail = f"HTTP {status}"
    if response.is_success:
        return Outcome(Verdict.DELIVERED, detail, status)
    if response.is_server_error or status in _RETRIED_STATUS:
        return Outcome(Verdict.RETRY_LATER, detail, status, _retry_after_s(response))
    if response.is_redirect:
        detail += ", and redirects are not followed: set the final URL"
    return Outcome(Verdict.NEVER, detail, status)


def _retry_after_s(response: httpx.Response) -> float | None:
    """Read Retry-After in its seconds form (RFC 9110 section 10.2.3); the date form is not waited for."""
    text = response.headers.get("retry-after", "")
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _checked_url(text: str) -> httpx.URL:
    remedy = "set INCIDENTSCOPE_ALERT_WEBHOOK_URL=https://host/path"
    try:
        url = httpx.URL(text)
        host, port = url.host, url.port or 0
    except (httpx.InvalidURL, UnicodeError, TypeError) as error:
        raise SetupError(f"the webhook URL cannot be read: {error}", remedy) from None
    if url.scheme not in ("http", "https") or not host or port > _LAST_PORT:
        raise SetupError("the webhook URL is not an http or https address", remedy)
    if url.userinfo:
        raise SetupError("the webhook URL holds a user name, which would be sent along unasked", remedy)
    return url
