"""Webhooks posted to real receivers."""

from __future__ import annotations

import socket
import ssl

import pytest
import trustme
from http_receiver import Receiver, answering, drip, endless_body, receiver, silence
from pydantic import SecretStr
from store_examples import alert

from schemas.incidents import Alert
from schemas.settings import Settings
from sinks.addresses import Resolver
from sinks.webhook import Outcome, Verdict, Webhook, verify

SECRET = b"a secret"
WALL_S = 1_760_000_000.9
OK = answering("200 OK")


def always(*addresses: str) -> Resolver:
    """Resolve every name to these."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


async def deliver(url: str, *, allow_private: bool = True, attempt: int = 1, **more: object) -> Outcome:
    """Deliver one alert."""
    async with Webhook(url, SECRET, allow_private=allow_private, **more) as webhook:  # type: ignore[arg-type]
        return await webhook.deliver(alert(), attempt, wall_s=WALL_S)


def url_of(got: Receiver, host: str = "127.0.0.1", scheme: str = "http") -> str:
    """Return the receiver's address under a name."""
    return f"{scheme}://{host}:{got.port}/hooks/1?a=b"


async def test_the_receiver_gets_the_alert_signed_over_the_bytes_it_gets() -> None:
    """Method, path, body, delivery name, and a signature that its own check accepts."""
    async with receiver(OK) as got:
        outcome = await deliver(url_of(got), attempt=3)
    assert outcome == Outcome(Verdict.DELIVERED, "HTTP 200", 200)
    [posted] = got.posted
    assert posted.line == "POST /hooks/1?a=b HTTP/1.1"
    assert Alert.model_validate_json(posted.body) == alert()
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["x-incidentscope-delivery"] == "alert-1.3"
    sent, signature = posted.headers["x-incidentscope-timestamp"], posted.headers["x-incidentscope-signature"]
    assert sent == "1760000000"
    assert verify(SECRET, posted.body, sent, signature, wall_s=WALL_S)


@pytest.mark.parametrize(
    ("head", "verdict", "retry_after_s"),
    [
        ("200 OK", Verdict.DELIVERED, None),
        ("204 No Content", Verdict.DELIVERED, None),
        ("301 Moved\r\nlocation: http://127.0.0.1:1/", Verdict.NEVER, None),
        ("400 Bad Request", Verdict.NEVER, None),
        ("401 Unauthorized", Verdict.NEVER, None),
        ("404 Not Found", Verdict.NEVER, None),
        ("408 Request Timeout", Verdict.RETRY_LATER, None),
        ("410 Gone", Verdict.NEVER, None),
        ("429 Too Many Requests\r\nretry-after: 17", Verdict.RETRY_LATER, 17.0),
        ("429 Too Many Requests\r\nretry-after: Wed, 21 Oct 2026 07:28:00 GMT", Verdict.RETRY_LATER, None),
        ("429 Too Many Requests\r\nretry-after: 99999999999", Verdict.RETRY_LATER, None),
        ("500 Internal Server Error", Verdict.RETRY_LATER, None),
        ("503 Service Unavailable\r\nretry-after: 5", Verdict.RETRY_LATER, 5.0),
    ],
)
async def test_the_answer_decides_what_happens_next(head: str, verdict: Verdict, retry_after_s: float | None) -> None:
    """Delivered, later, or never."""
    async with receiver(answering(head, b"the receiver's words")) as got:
        outcome = await deliver(url_of(got))
    assert (outcome.verdict, outcome.status_code, outcome.retry_after_s) == (verdict, int(head[:3]), retry_after_s)
    assert "words" not in outcome.detail


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    """A receiver cannot send us on to an address that nobody has checked."""
    async with receiver(OK) as inner, receiver(answering(f"{status}\r\nlocation: {url_of(inner)}")) as got:
        outcome = await deliver(url_of(got))
    assert outcome.verdict is Verdict.NEVER
    assert inner.posted == []


@pytest.mark.parametrize("answer", [silence, drip])
async def test_a_receiver_that_does_not_finish_is_left(answer: object) -> None:
    """The deadline is for the whole attempt, however slowly bytes keep coming."""
    async with receiver(answer) as got:  # type: ignore[arg-type]
        outcome = await deliver(url_of(got), deadline_s=0.3)
    assert outcome == Outcome(Verdict.RETRY_LATER, "no answer in 0.3 s")


async def test_an_endless_answer_is_not_read() -> None:
    """The status is enough."""
    async with receiver(endless_body) as got:
        assert (await deliver(url_of(got))).verdict is Verdict.DELIVERED


async def test_a_receiver_that_is_away_is_tried_later() -> None:
    """Refused connections, closed connections and unknown names may get better."""

    async def hang_up(writer: object) -> None:
        return

    async with receiver(hang_up) as got:
        assert (await deliver(url_of(got))).verdict is Verdict.RETRY_LATER
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert (await deliver(f"http://127.0.0.1:{taken.getsockname()[1]}/")).verdict is Verdict.RETRY_LATER
    assert (await deliver("http://hooks.invalid/")).verdict is Verdict.RETRY_LATER


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1"])
async def test_nothing_is_sent_inside(host: str) -> None:
    """However the loopback address is written, the receiver on it hears nothing."""
    async with receiver(OK) as got:
        outcome = await deliver(url_of(got, host), allow_private=False)
    assert outcome.verdict is Verdict.NEVER
    assert got.posted == []


async def test_a_name_with_one_address_inside_is_refused_altogether() -> None:
    """Which of the addresses would be taken does not matter."""
    async with receiver(OK) as got:
        outcome = await deliver(
            url_of(got, "hooks.test"), allow_private=False, resolve=always("203.0.113.1", "127.0.0.1")
        )
    assert outcome.verdict is Verdict.NEVER
    assert got.posted == []


async def test_the_checked_address_is_the_one_connected_to() -> None:
    """A name is resolved once; only our resolver knows this name, so nobody else resolved it again."""
    asked: list[str] = []

    async def flipping(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async with receiver(OK) as got:
        outcome = await deliver(url_of(got, "hooks.test"), resolve=flipping)
    assert outcome.verdict is Verdict.DELIVERED
    assert asked == ["hooks.test"]
    assert got.posted[0].headers["host"] == f"hooks.test:{got.port}"


async def test_a_proxy_from_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve the name by itself, behind the guard's back."""
    async with receiver(OK) as proxy, receiver(OK) as got:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await deliver(url_of(got))).verdict is Verdict.DELIVERED
    assert proxy.posted == []


@pytest.mark.parametrize(
    ("certified", "verdict"), [("hooks.test", Verdict.DELIVERED), ("another.test", Verdict.RETRY_LATER)]
)
async def test_tls_checks_the_name_not_the_address(certified: str, verdict: Verdict) -> None:
    """Connecting to an address does not weaken TLS: the certificate must be the name's."""
    authority = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(certified).configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    async with receiver(OK, tls=server_tls) as got:
        url = url_of(got, "hooks.test", "https")
        outcome = await deliver(url, resolve=always("127.0.0.1"), tls=client_tls)
    assert outcome.verdict is verdict
    assert len(got.posted) == (verdict is Verdict.DELIVERED)


async def test_an_unknown_authority_is_refused() -> None:
    """TLS is verified by default."""
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("hooks.test").configure_cert(server_tls)
    async with receiver(OK, tls=server_tls) as got:
        outcome = await deliver(url_of(got, "hooks.test", "https"), resolve=always("127.0.0.1"))
    assert outcome.verdict is Verdict.RETRY_LATER
    assert got.posted == []


async def test_the_settings_make_the_webhook() -> None:
    """URL, secret and the permission to post inside come from the settings."""
    async with receiver(OK) as got:
        for allow_private, expected in ((True, Verdict.DELIVERED), (False, Verdict.NEVER)):
            settings = Settings(
                alert_webhook_url=url_of(got),
                alert_webhook_secret=SecretStr(SECRET.decode()),
                alert_webhook_allow_private=allow_private,
                _env_file=None,
            )
            webhook = Webhook.from_settings(settings)
            assert webhook is not None
            assert (await webhook.deliver(alert(), 1, wall_s=WALL_S)).verdict is expected
            await webhook.close()
    assert len(got.posted) == 1
