"""Whether OpenTelemetry is asked for, by its own variables: only then its packages are imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxy.errors import ConfigError

if TYPE_CHECKING:
    from proxy.observe.otel import Export

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
DISABLED = "OTEL_SDK_DISABLED"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_{}_PROTOCOL")
SPOKEN = "http/protobuf"


def export_of(environ: Mapping[str, str]) -> Export | None:
    """Return what exports spans and metrics, `None` if no variable names a collector.

    Raises `ConfigError` if the packages are missing, or the collector speaks something else.
    """
    signals = tuple(signal for signal in ("TRACES", "METRICS") if _is_wanted(signal, environ))
    if not signals or environ.get(DISABLED, "").strip().lower() == "true":
        return None
    _check_protocol(signals, environ)
    try:
        from proxy.observe.otel import Export
    except ImportError:
        why = "OTEL_EXPORTER_OTLP_ENDPOINT needs more packages: pip install 'sidekey[otel]'"
        raise ConfigError([why]) from None
    return Export(environ, signals)


def _is_wanted(signal: str, environ: Mapping[str, str]) -> bool:
    endpoint = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or environ.get(ENDPOINT)
    return bool(endpoint) and environ.get(f"OTEL_{signal}_EXPORTER") != "none"


def _check_protocol(signals: tuple[str, ...], environ: Mapping[str, str]) -> None:
    names = {name.format(signal) for name in PROTOCOLS for signal in signals}
    issues = [
        f"{name}: sidekey speaks {SPOKEN} only, which collectors listen for on port 4318"
        for name in sorted(names)
        if environ.get(name, SPOKEN) != SPOKEN
    ]
    if issues:
        raise ConfigError(issues)
