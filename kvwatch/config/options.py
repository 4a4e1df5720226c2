"""Every key of the configuration file once: the table that the reader follows and ``docs/config.md`` shows."""

from __future__ import annotations

from kvwatch.config import reader
from kvwatch.config.option import Option, Section, table
from kvwatch.config.options_targets import DISCOVERY, TARGETS

SERVER_TLS = Section(
    "tls",
    "Serve HTTPS instead of HTTP. The files are read again within seconds of a change.",
    table(
        Option("cert_file", reader.file_path, "path", "PEM file with the certificate chain.", required=True),
        Option("key_file", reader.file_path, "path", "PEM file with the private key.", required=True),
    ),
)

SERVER = Section(
    "server",
    "kvwatch's own HTTP endpoint. It is read-only. A change of this section needs a restart.",
    table(
        Option(
            "listen",
            reader.text,
            "address",
            "Where to listen. An exporter in a pod must be reachable, so the default is every interface; "
            'write "127.0.0.1:9718" for this machine only.',
            '":9718"',
        ),
        Option(
            "web_config_file",
            reader.file_path,
            "path",
            "TLS with client certificates, users with passwords, and headers, in the format that Prometheus and its "
            "exporters share; [web.md](web.md) says what it may hold. Read again within seconds of a change. It takes "
            "the place of `tls`.",
        ),
        SERVER_TLS,
    ),
)

SCRAPE = Section(
    "scrape",
    "How the targets are read.",
    table(
        Option(
            "interval",
            reader.duration(0.1, 60.0),
            "duration",
            "Time between two scrapes of a target. Short intervals see requests finish one at a time, which makes the "
            "estimates sharper. An engine is stale, and its estimates withheld, after three of them.",
            "1s",
            "interval_seconds",
        ),
        Option(
            "timeout",
            reader.duration(0.1, 60.0),
            "duration",
            "Longest time for one scrape, connection and body together. A saturated vLLM can need a second.",
            "5s",
            "timeout_seconds",
        ),
        Option(
            "max_body_bytes",
            reader.integer(1024, 64 * 1024**2),
            "bytes",
            "Longest exposition that is read, after decompression. One engine has about 50 kB.",
            "16777216",
        ),
        Option(
            "discovery_interval",
            reader.duration(10.0, 86400.0),
            "duration",
            "Time between two looks for the settings that no metric shows: at a target's API, its process, its pod.",
            "5m",
            "discovery_interval_seconds",
        ),
        Option(
            "process_settings",
            reader.boolean,
            "true or false",
            "Read vLLM's settings from the command line of its process, where a target is on this host and the process "
            "is visible. Nothing else of a process is read.",
            "true",
        ),
        Option(
            "pod_settings",
            reader.boolean,
            "true or false",
            "Read them from the containers of the pod: of each pod that Kubernetes discovery finds, and of kvwatch's "
            "own beside its target, if its service account may get that pod.",
            "true",
        ),
    ),
)

ESTIMATES = Section(
    "estimates",
    "How the numbers are estimated.",
    table(
        Option(
            "windows",
            reader.windows,
            "list of durations",
            "Windows of the arrival rate and the utilization, each a value of the label `window`; one to four, rising.",
            '["1m", "5m"]',
            "windows_seconds",
        ),
        Option(
            "trim_ratio",
            reader.choice(0.05, 0.10),
            "0.05 or 0.1",
            "Share of the slowest and of the fastest intervals that the trimmed mean of the step time leaves out.",
            "0.05",
        ),
        Option(
            "target_utilization",
            reader.number(0.05, 1.0),
            "ratio",
            "Utilization that `kvwatch_replicas_required` aims at.",
            "0.8",
        ),
        Option(
            "scale_up",
            reader.duration(1.0, 86400.0),
            "duration",
            "From the decision for one more replica until it serves: machine, image, weights, warm-up. Exported as "
            "`kvwatch_scale_up_seconds`; the alerts page when saturation is nearer than this.",
            "10m",
            "scale_up_seconds",
        ),
        Option(
            "demand_window",
            reader.duration(30.0, 3600.0),
            "duration",
            "How far back requests count for the demand of a mean request; it reaches further while they are few.",
            "2m",
            "demand_window_seconds",
        ),
        Option(
            "latency",
            reader.boolean,
            "true or false",
            "Predict waiting time, time to the first token and time between tokens for the load of now "
            "(`kvwatch_latency_seconds`). It takes some seconds of CPU for each engine, in the background, when its "
            "traffic has moved by a tenth, at most every ten minutes and at least every hour: up to 1% of a core. So "
            "it is off unless it is asked for here or by `slo`.",
            "false",
            "predicts_latency",
        ),
        Option(
            "top_tenants",
            reader.integer(1, 100),
            "tenants",
            "How many tenants have series of their own, where a log or a trace names tenants; the rest are `other`.",
            "20",
        ),
        Option(
            "state_file",
            reader.file_path,
            "path",
            "Where to keep what has been learnt, above all the step law, over a restart. Without it, `kvwatch "
            "run` takes `state-PORT.json` in `$STATE_DIRECTORY` (systemd's `StateDirectory=`), else in `kvwatch` "
            "of `$XDG_STATE_HOME` or `~/.local/state`; `none` switches it off, and a restarted kvwatch learns "
            "from the start. Only its owner can read the file (0600), and a symbolic link in its place is not "
            "written through. Saved every minute, and where logs are followed every five seconds, less often with "
            "hundreds of targets. Its folder must be writable. What targets that are gone had is kept for a week, "
            "for a thousand of them at most, and for an hour of as many as were watched at once.",
        ),
    ),
)

SLO = Section(
    "slo",
    "Latency targets: what 95% of the requests shall not exceed, at each of the targets. Where there is any, kvwatch "
    "says up to which rate it is met (`kvwatch_slo_service_rate`), how close the load is to that "
    "(`kvwatch_slo_utilization`), and how many requests may wait. [slo.md](slo.md) says how far to trust it.",
    table(
        Option(
            "ttft_p95",
            reader.duration(0.001, 3600.0),
            "duration",
            "Time to the first token, as the engine causes it: without the time that the API server takes.",
            field="first_token_seconds",
        ),
        Option("wait_p95", reader.duration(0.001, 3600.0), "duration", "Time in the queue.", field="wait_seconds"),
        Option(
            "itl_p95",
            reader.duration(0.0001, 3600.0),
            "duration",
            "Time from one token to the next.",
            field="between_seconds",
        ),
        Option(
            "sizes_replicas",
            reader.boolean,
            "true or false",
            "Whether `kvwatch_target_utilization`, and with it the number of replicas, is lowered to the load that "
            "meets the targets, where that is below `estimates.target_utilization`.",
            "true",
        ),
    ),
)

TRACES = Section(
    "traces",
    "The receiver of OpenTelemetry traces, `POST /v1/traces` on kvwatch's own port or on one of its own: each request "
    "with its exact lengths. [traces.md](traces.md) says how to send them. A change of this section needs a restart.",
    table(
        Option("enabled", reader.boolean, "true or false", "Receive traces.", "false"),
        Option(
            "max_body_bytes",
            reader.integer(64 * 1024, 16 * 1024**2),
            "bytes",
            "Longest export that is taken, after decompression; a longer one is refused. vLLM sends up to 512 spans of "
            "about 650 bytes at a time.",
            "4194304",
        ),
        Option(
            "max_spans_per_second",
            reader.integer(1, 1_000_000),
            "spans/s",
            "Spans of all senders together that are read; above it exports are put off with 429 and Retry-After. Each "
            "begun KiB of an export counts as a span at least.",
            "10000",
        ),
        Option(
            "bearer_token_file",
            reader.file_path,
            "path",
            "File that holds the bearer token that senders must show; read again when it changes. Without it anyone "
            "who reaches the port may send.",
        ),
        Option(
            "target_attribute",
            reader.text,
            "text",
            "Resource attribute, such as `service.name`, whose value is the name of the target that a span belongs to.",
        ),
        Option(
            "tenant_attribute",
            reader.text,
            "text",
            "Attribute of the span, else of its resource, that says to whom a request is charged.",
        ),
        Option("tenant_hash", reader.boolean, "true or false", "Show a hash instead of the tenant's name.", "false"),
        Option(
            "tenant_key_file",
            reader.file_path,
            "path",
            "File with a key for the hash; without one, who can guess a name can check the guess.",
        ),
        Option(
            "model_attribute",
            reader.text,
            "text",
            "Attribute of the span, else of its resource, that holds the model's name as vLLM's metrics spell it.",
        ),
        Option(
            "listen",
            reader.text,
            "address",
            'Where to take traces over HTTP, such as ":4318", on a port of their own instead of `server.listen`.',
        ),
        Option(
            "grpc_listen",
            reader.text,
            "address",
            'Where to take OTLP over gRPC as well, such as ":4317"; needs the extra `kvwatch[grpc]`.',
        ),
    ),
)

LOG = Section(
    "log",
    "Logs go to standard error, one event per change of state.",
    table(
        Option(
            "level", reader.choice("debug", "info", "warning", "error"), "word", "Least level that is logged.", "info"
        ),
        Option("format", reader.choice("plain", "json"), "word", "`plain` for people, `json` for collectors.", "plain"),
    ),
)

ROOT = Section("", "", table(SERVER, SCRAPE, ESTIMATES, SLO, TRACES, LOG, DISCOVERY, TARGETS))
