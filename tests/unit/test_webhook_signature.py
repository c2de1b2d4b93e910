"""The signature that receivers check."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from pydantic import SecretStr

from schemas.errors import SetupError
from schemas.settings import Settings
from sinks.webhook import Webhook, sign, verify

SECRET = b"a secret"
BODY = b'{"alert_id":"a"}'
SENT_S = 1_760_000_000
SIGNATURE = sign(SECRET, SENT_S, BODY)


def checks(
    *,
    secret: bytes = SECRET,
    body: bytes = BODY,
    sent: str = str(SENT_S),
    signature: str = SIGNATURE,
    late_s: float = 0,
) -> bool:
    """Verify a delivery with one thing changed."""
    return verify(secret, body, sent, signature, wall_s=SENT_S + late_s)


def test_the_signature_is_what_the_documentation_says() -> None:
    """HMAC-SHA256 over timestamp, a full stop and the raw body, in hex."""
    expected = hmac.new(SECRET, b"1760000000." + BODY, hashlib.sha256).hexdigest()
    assert f"v1={expected}" == SIGNATURE


def test_our_own_delivery_verifies() -> None:
    """Also within the tolerance, also beside another signature."""
    assert checks()
    assert checks(late_s=299)
    assert checks(late_s=-299)
    assert checks(signature=f"v1={'0' * 64}, {SIGNATURE}")


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": b"another"},
        {"body": BODY.replace(b"a", b"b", 1)},
        {"body": b""},
        {"sent": str(SENT_S + 1)},
        {"sent": ""},
        {"sent": "soon"},
        {"sent": "-1"},
        {"sent": "9" * 5000},
        {"sent": "\u0661760000000"},
        {"late_s": 301},
        {"late_s": -301},
        {"signature": ""},
        {"signature": "v1="},
        {"signature": SIGNATURE.removeprefix("v1=")},
        {"signature": SIGNATURE[:-1]},
        {"signature": SIGNATURE.replace("v1", "v0")},
        {"signature": "v1=\u00e9"},
        {"signature": "sha1=" + hashlib.sha1(BODY).hexdigest()},
    ],
)
def test_anything_else_does_not(wrong: dict[str, object]) -> None:
    """Another secret, one byte changed, a replay after five minutes, or nonsense in the headers."""
    assert not checks(**wrong)  # type: ignore[arg-type]


def test_no_url_is_no_webhook() -> None:
    """The default route then sends nowhere."""
    assert Webhook.from_settings(Settings(_env_file=None)) is None


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://hooks.example.com/a", ""),
        ("ftp://hooks.example.com/a", "s"),
        ("file:///etc/passwd", "s"),
        ("hooks.example.com/a", "s"),
        ("https://", "s"),
        ("https://user:password@hooks.example.com/a", "s"),
        ("https://hooks.example.com:port/", "s"),
        ("https://hooks.example.com:99999/", "s"),
        ("https://xn--a/", "s"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused_at_the_start(url: str, secret: str) -> None:
    """No secret, no http address, or a password in the address."""
    settings = Settings(alert_webhook_url=url, alert_webhook_secret=SecretStr(secret), _env_file=None)
    with pytest.raises(SetupError) as refusal:
        Webhook.from_settings(settings)
    assert "password" not in str(refusal.value)
