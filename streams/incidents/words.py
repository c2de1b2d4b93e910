"""The sentences of an incident: titles and reasons, from the numbers."""

from __future__ import annotations

from schemas.deviations import INSTANCE_KINDS, SeriesKind, SeriesScore

_WHAT = {
    SeriesKind.P95: "95th percentile",
    SeriesKind.SELF_TIME: "own time",
    SeriesKind.GAP: "network and queue time",
    SeriesKind.EDGE_LATENCY: "latency",
    SeriesKind.ERROR_RATE: "error rate",
    SeriesKind.EDGE_ERROR_RATE: "error rate",
    SeriesKind.REQUEST_RATE: "request rate",
    SeriesKind.LOG_ERRORS: "error logs per request",
    SeriesKind.BURN_RATE: "error budget burn",
    SeriesKind.SIGNATURE: "lines of an error signature",
    SeriesKind.METRIC: "metric",
    SeriesKind.INSTANCE_SLOW: "slow requests",
    SeriesKind.INSTANCE_ERRORS: "failed requests",
}


def amount(value: float, unit: str) -> str:
    """Return a number with its unit as a person writes it."""
    if unit == "ms":
        return f"{plain(value / 1000, 2)} s" if value >= 1000 else f"{plain(value)} ms"
    if unit == "ratio":
        return f"{plain(100 * value)} %"
    return f"{plain(value)}/s" if unit == "per_s" else f"{plain(value)}x"


def plain(value: float, digits: int = 3) -> str:
    """Return a number with so many digits and no exponent: ``0.0123``, ``1.5``, ``12,300``."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10**digits else f"{value:.{digits}g}"


def series_in_words(service: str, series: SeriesScore) -> str:
    """Return one line such as ``payments: network and queue time from checkout 412 ms (normally 3 ms)``."""
    return f"{service}: {_what_is_off(series)}"


def _what_is_off(series: SeriesScore) -> str:
    if series.kind is SeriesKind.REQUEST_RATE and series.value == 0 and series.operation is None:
        return f"requests stopped (normally {amount(series.median, series.unit)})"
    if series.operation and series.kind is SeriesKind.REQUEST_RATE:
        return f"{series.operation} no longer called (normally {amount(series.median, series.unit)})"
    if series.kind in INSTANCE_KINDS:
        hit, beside = amount(series.value, series.unit), amount(series.median, series.unit)
        how = (
            "fail" if series.kind is SeriesKind.INSTANCE_ERRORS else f"slower than {amount(series.limit_ms or 0, 'ms')}"
        )
        return f"{hit} of the requests at instance {series.instance} {how}, its siblings' {beside}"
    usual = f"normally {amount(series.median, series.unit)}"
    if series.operation and series.kind is SeriesKind.ERROR_RATE:
        known = "never called before" if series.newcomer else usual
        return f"{amount(series.value, series.unit)} of the requests {series.operation} fail ({known})"
    if series.operation and series.kind is SeriesKind.P95:
        return f"requests {series.operation} take {amount(series.value, series.unit)} ({usual})"
    where = f" of {series.operation}" if series.operation else ""
    where += f" from {series.edge_client}" if series.edge_client else ""
    what = "latency budget burn" if series.kind is SeriesKind.BURN_RATE and series.name else _WHAT[series.kind]
    return f"{what}{where} {amount(series.value, series.unit)} ({usual})"


def and_later(reason: str, series: SeriesScore, later_ns: int) -> str:
    """Return a reason with what else went wrong later: ``...; 600 s later also error rate 50 % (normally 0 %)``."""
    return f"{reason}; {max(0, later_ns) // 1_000_000_000} s later also {_what_is_off(series)}"


def symptom_reason(service: str, series: SeriesScore, neighbour: str, calls: bool) -> str:
    """Return why a service with only a symptom belongs to the incident of its neighbour."""
    link = f"calls {neighbour}" if calls else f"is called by {neighbour}"
    return f"{series_in_words(service, series)}; it {link}, which deviates itself"
