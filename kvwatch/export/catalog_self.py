"""Metrics of the watcher itself."""

from __future__ import annotations

from kvwatch.export.metric import Kind, Metric, Scope
from kvwatch.parse.logs import LINE_RESULTS

_T, _P = Scope.TARGET, Scope.PROCESS

SCRAPE_RESULTS: dict[str, str] = {
    "success": "the scrape was read",
    "timeout": "the target did not answer in full within scrape.timeout",
    "dns": "the target's name could not be looked up, or its name servers did not answer within two seconds",
    "connection": "no connection, or it broke before the answer was complete (refused, reset)",
    "tls": "the TLS handshake failed: certificate, name or protocol",
    "credentials": "a token, password or certificate file could not be read",
    "unauthorized": "the target answered 401 or 403",
    "status": "the target answered another status than 200",
    "redirect": "the target answered with a redirect, which is not followed",
    "protocol": "the answer was not valid HTTP, or its compression was broken",
    "too_large": "the answer was longer than scrape.max_body_bytes, after decompression",
    "not_metrics": "the answer was read but is not a Prometheus exposition",
    "internal": "kvwatch itself failed on this answer; the log holds the traceback",
}
"""The closed list of values of ``result``, each with its meaning."""

DROP_REASONS: dict[str, str] = {
    "idle": "it waited between two requests, and a new one needed its place",
    "silent": "it brought no complete request within ten seconds, or a new one needed its place before",
    "slow": "it did not take its answer within half a minute, or others needed the memory before",
    "handshake": "it did not speak TLS, or not as it is configured",
    "full": "it was new, and all others were being answered",
    "no_files": "the process had no file descriptor left for it; counted once for each attempt",
}
"""Why a client's connection to kvwatch's own port is closed or refused."""

SELF_METRICS: tuple[Metric, ...] = (
    Metric(
        "kvwatch_scrapes_total",
        _T,
        "scrapes",
        "Scrapes of the target by result.",
        kind=Kind.COUNTER,
        extra_labels=("result",),
        values=tuple(SCRAPE_RESULTS),
    ),
    Metric(
        "kvwatch_target_engines",
        _T,
        "engines",
        "Engines that the target's last scrape showed; 0 for one that answers without any of vLLM's series, absent for "
        "one whose last scrape failed.",
    ),
    Metric(
        "kvwatch_exposition_bad_lines_total",
        _T,
        "lines",
        "Lines of the target's exposition that could not be read and were skipped.",
        kind=Kind.COUNTER,
    ),
    Metric(
        "kvwatch_settings_discoveries_total",
        _T,
        "attempts",
        "Attempts to learn the target's settings from its API, by result.",
        kind=Kind.COUNTER,
        extra_labels=("result",),
        values=("found", "nothing"),
    ),
    Metric(
        "kvwatch_requests_ingested_total",
        _T,
        "requests",
        "Requests learnt of one by one, by the kind of source: `otlp` traces or `log` lines.",
        kind=Kind.COUNTER,
        extra_labels=("source",),
        values=("otlp", "log"),
    ),
    Metric(
        "kvwatch_log_lines_total",
        _T,
        "lines",
        "Lines of the target's logs, by what became of them: docs/sources.md has the results. OpenTelemetry "
        "logs count log records.",
        kind=Kind.COUNTER,
        extra_labels=("result",),
        values=tuple(LINE_RESULTS),
    ),
    Metric(
        "kvwatch_log_source_recognized",
        _T,
        "1",
        "1 once a line of the log was one of its configured format, 0 once 300 lines were read and none was; absent "
        "before. `source` is the path as configured.",
        extra_labels=("source",),
        since="0.1.0",
    ),
    Metric(
        "kvwatch_spans_total",
        _P,
        "spans",
        "Spans received, by what became of them; only those with result `request` reach the estimates.",
        kind=Kind.COUNTER,
        extra_labels=("result",),
        values=("request", "ignored", "duplicate", "late", "unassigned", "invalid"),
    ),
    Metric(
        "kvwatch_discovery_failures_total",
        _P,
        "failures",
        "Attempts to read a source of targets that failed, or brought targets that cannot be; its last targets stay.",
        kind=Kind.COUNTER,
        extra_labels=("source",),
    ),
    Metric(
        "kvwatch_discovered_targets",
        _P,
        "targets",
        "Targets that a source found when it was last read.",
        extra_labels=("source",),
    ),
    Metric(
        "kvwatch_config_reloads_total",
        _P,
        "reloads",
        "Attempts to load the configuration again, by result.",
        kind=Kind.COUNTER,
        extra_labels=("result",),
        values=("success", "failure"),
    ),
    Metric(
        "kvwatch_config_last_reload_successful",
        _P,
        "1",
        "1 if the last attempt to load the configuration succeeded, 0 if the one before it is still in force.",
    ),
    Metric(
        "kvwatch_internal_errors_total",
        _P,
        "errors",
        "Faults of kvwatch itself that were caught and logged, by the place where they happened.",
        kind=Kind.COUNTER,
        extra_labels=("place",),
        values=("observe", "view", "model", "dump", "task", "loop"),
    ),
    Metric(
        "kvwatch_state_saves_total",
        _P,
        "saves",
        "Attempts to write estimates.state_file, by result; after a failure the file of before stays.",
        kind=Kind.COUNTER,
        extra_labels=("result",),
        values=("success", "failure"),
    ),
    Metric(
        "kvwatch_state_last_save_timestamp_seconds",
        _P,
        "s",
        "When estimates.state_file was last written, in unix time; absent where it is not configured, or was not yet.",
    ),
    Metric(
        "kvwatch_http_connections_dropped_total",
        _P,
        "connections",
        "Connections to kvwatch's own port that it closed or refused for what they cost, by reason: "
        + "; ".join(f"`{reason}`, {words}" for reason, words in DROP_REASONS.items())
        + ".",
        kind=Kind.COUNTER,
        extra_labels=("reason",),
        values=tuple(DROP_REASONS),
    ),
    Metric(
        "kvwatch_build_info",
        _P,
        "1",
        "Version of kvwatch and of the Python that runs it.",
        kind=Kind.INFO,
        extra_labels=("version", "python_version"),
    ),
)
