"""Every key of the configuration file once: the table that the reader follows and ``docs/config.md`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kvwatch.config import log_sources, reader
from kvwatch.config.discovery import port, shard
from kvwatch.parse.logs import FORMATS, QUANTITIES

_TOKENS = reader.integer(1, 2**31 - 1)


@dataclass(frozen=True, slots=True)
class Option:
    """One key: how it is read, what holds when it is missing, and its meaning.

    ``field`` is the key's name in the dataclass that is built, where it differs. ``default`` is shown in the
    docs; the dataclass holds the one that applies.
    """

    key: str
    read: reader.Reader[object]
    kind: str
    help: str
    default: str = ""
    field: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping of keys, nested in another one or in a list."""

    key: str
    help: str
    content: Mapping[str, Entry]
    is_list: bool = False


Entry: TypeAlias = Option | Section


def _table(*entries: Entry) -> dict[str, Entry]:
    return {entry.key: entry for entry in entries}


SERVER_TLS = Section(
    "tls",
    "Serve HTTPS instead of HTTP. The files are read again when the configuration is reloaded.",
    _table(
        Option("cert_file", reader.file_path, "path", "PEM file with the certificate chain.", required=True),
        Option("key_file", reader.file_path, "path", "PEM file with the private key.", required=True),
    ),
)

SERVER = Section(
    "server",
    "kvwatch's own HTTP endpoint. It is read-only. A change of this section needs a restart.",
    _table(
        Option(
            "listen",
            reader.text,
            "address",
            "Where to listen. An exporter in a pod must be reachable, so the default is every interface; "
            'write "127.0.0.1:9718" for this machine only.',
            '":9718"',
        ),
        SERVER_TLS,
    ),
)

SCRAPE = Section(
    "scrape",
    "How the targets are read.",
    _table(
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
            "Time between two looks at a target's API for settings that no metric shows.",
            "5m",
            "discovery_interval_seconds",
        ),
    ),
)

ESTIMATES = Section(
    "estimates",
    "How the numbers are estimated.",
    _table(
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
            "Where to keep what has been learnt, above all the step law, over a restart; saved every minute, "
            "every five seconds where logs are followed. Its "
            "folder must be writable. Without it, a restarted kvwatch begins to learn anew.",
        ),
    ),
)

TRACES = Section(
    "traces",
    "The receiver of OpenTelemetry traces, `POST /v1/traces` on kvwatch's own port: each request with its exact "
    "lengths. [traces.md](traces.md) says how to send them. A change of this section needs a restart.",
    _table(
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
    _table(
        Option(
            "level", reader.choice("debug", "info", "warning", "error"), "word", "Least level that is logged.", "info"
        ),
        Option("format", reader.choice("plain", "json"), "word", "`plain` for people, `json` for collectors.", "plain"),
    ),
)

BASIC_AUTH = Section(
    "basic_auth",
    "HTTP basic authentication. Not together with bearer_token_file.",
    _table(
        Option("username", reader.text, "text", "User name.", required=True),
        Option("password_file", reader.file_path, "path", "File that holds the password.", required=True),
    ),
)

TARGET_TLS = Section(
    "tls",
    "How an https target's certificate is checked. The files may rotate; changes are picked up.",
    _table(
        Option("ca_file", reader.file_path, "path", "PEM file with the authorities to trust instead of the system's."),
        Option("cert_file", reader.file_path, "path", "PEM file with the certificate to show to the target."),
        Option("key_file", reader.file_path, "path", "PEM file with the key of cert_file."),
        Option("insecure_skip_verify", reader.boolean, "true or false", "Accept any certificate.", "false"),
    ),
)

TARGET_LOGS = Section(
    "logs",
    "Log files to follow for the target; [sources.md](sources.md) says what each format adds. Where each of them was "
    "read to is kept in estimates.state_file: without one, a restart begins again at `start`.",
    _table(
        Option(
            "path",
            reader.text,
            "path or glob",
            "The file, or files such as `/var/log/gateway/*.log`; `**` reaches into folders. They may come and go.",
            required=True,
        ),
        Option(
            "format",
            reader.choice(*FORMATS),
            "word",
            "`vllm` for vLLM's own log; `kvwatch`, `litellm`, `envoy`, `nginx` or `otel` for the request logs in JSON "
            "lines of these; `json` for any other, with `fields`.",
            required=True,
        ),
        Option(
            "fields",
            log_sources.fields,
            "mapping",
            "Where a line has what: a path such as `usage.prompt_tokens`, or a list of which the first that is there "
            "counts, for each of " + ", ".join(f"`{quantity}`" for quantity in QUANTITIES) + ".",
            "those of the format",
        ),
        Option(
            "only",
            log_sources.only,
            "mapping",
            "Values that a path must have, one or a list, for the line to count: a gateway's log tells of all servers.",
            "all lines",
        ),
        Option("tenant_field", reader.text, "path", "Short for `fields: {tenant: …}`: whom requests are charged to."),
        Option("tenant_hash", reader.boolean, "true or false", "Show a hash instead of the tenant's name.", "false"),
        Option(
            "tenant_key_file",
            reader.file_path,
            "path",
            "File with a key for the hash; without one, who can guess a name can check the guess.",
        ),
        Option(
            "start",
            reader.choice("end", "beginning"),
            "word",
            "Where to begin in files that are there when kvwatch first starts; later ones are read from the beginning.",
            "end",
        ),
        Option(
            "time_zone",
            log_sources.time_zone,
            "name",
            "Zone of time stamps that name none, as vLLM's do, such as `Europe/Berlin`. Containers use `UTC`.",
            "kvwatch's own",
        ),
    ),
    is_list=True,
)

ROLE = Option(
    "role",
    reader.choice("prefill", "decode"),
    "word",
    "`prefill` or `decode` where these run on servers of their own: each role is sized apart.",
)

FOUND_TARGET = Section(
    "target",
    "What holds of every target that the source finds.",
    _table(
        Option(
            "scheme", reader.choice("http", "https"), "word", "Used where the source does not tell another.", "http"
        ),
        Option("metrics_path", reader.text, "path", "Likewise.", "/metrics"),
        ROLE,
        Option("max_num_seqs", _TOKENS, "requests", "vLLM's `--max-num-seqs`.", "discovered, else unknown"),
        Option(
            "max_num_batched_tokens",
            _TOKENS,
            "tokens",
            "vLLM's `--max-num-batched-tokens`.",
            "discovered, else unknown",
        ),
        Option("max_model_len", _TOKENS, "tokens", "vLLM's `--max-model-len`.", "discovered, else unknown"),
        Option("bearer_token_file", reader.file_path, "path", "File that holds a bearer token for the targets."),
        BASIC_AUTH,
        TARGET_TLS,
    ),
)

DISCOVERY = Section(
    "discovery",
    "Where targets are found while kvwatch runs, beside those of `targets`. A source that fails keeps what it found "
    "last. [fleets.md](fleets.md) says more.",
    _table(
        Option(
            "max_targets",
            reader.integer(1, 100_000),
            "targets",
            "Most targets that are watched; of more, the same ones are left out each time.",
            "5000",
        ),
        Option(
            "shard",
            shard,
            "index/count",
            'Watch only a part of all targets, such as "2/8": the third of eight. The parts are even, and as few '
            "targets as possible move when the count changes. Needs a restart.",
            '"0/1"',
        ),
        Section(
            "dns",
            "Names to look up, such as a headless Service.",
            _table(
                Option("names", reader.texts, "list of texts", "Names.", required=True),
                Option("type", reader.choice("A", "AAAA", "SRV"), "word", "Kind of record.", "A"),
                Option("port", reader.integer(1, 65535), "port", "Port, for A and AAAA.", "8000"),
                Option(
                    "interval",
                    reader.duration(1.0, 3600.0),
                    "duration",
                    "Longest time between two looks; sooner where the records live shorter, down to 5 s.",
                    "30s",
                    "interval_seconds",
                ),
                FOUND_TARGET,
            ),
            is_list=True,
        ),
        Section(
            "files",
            "Files that list targets as Prometheus's file_sd does, JSON or YAML.",
            _table(
                Option(
                    "paths",
                    reader.texts,
                    "list of texts",
                    "Files or globs, such as `/etc/kvwatch/targets/*.yaml`.",
                    required=True,
                ),
                Option(
                    "interval",
                    reader.duration(0.1, 3600.0),
                    "duration",
                    "Time between two looks for changes.",
                    "5s",
                    "interval_seconds",
                ),
                FOUND_TARGET,
            ),
            is_list=True,
        ),
        Section(
            "http",
            "Endpoints that list targets as Prometheus's http_sd does.",
            _table(
                Option("url", reader.text, "URL", "The endpoint.", required=True),
                Option(
                    "interval",
                    reader.duration(1.0, 3600.0),
                    "duration",
                    "Time between two requests.",
                    "1m",
                    "interval_seconds",
                ),
                Option("bearer_token_file", reader.file_path, "path", "File that holds a token for the endpoint."),
                BASIC_AUTH,
                TARGET_TLS,
                FOUND_TARGET,
            ),
            is_list=True,
        ),
        Section(
            "kubernetes",
            "Pods, followed through the Kubernetes API; needs the extra `kvwatch[kubernetes]`. A pod is watched from "
            "when it is first ready until it ends: one that is not ready for a while under load is still watched.",
            _table(
                Option("namespaces", reader.texts, "list of texts", "Namespaces.", "kvwatch's own"),
                Option("label_selector", reader.text, "text", "Labels of the pods, such as `app=vllm`.", "all pods"),
                Option(
                    "port",
                    port,
                    "number or name",
                    "Port, or the name of a container's port; a pod's annotation `prometheus.io/port` wins.",
                    "8000",
                ),
                Option(
                    "role_label",
                    reader.text,
                    "text",
                    "Label of the pod whose value, `prefill` or `decode`, is its role.",
                    "llm-d.ai/role",
                ),
                Option("kubeconfig", reader.file_path, "path", "Outside of the cluster: how to reach it."),
                FOUND_TARGET,
            ),
            is_list=True,
        ),
    ),
)

TARGETS = Section(
    "targets",
    "The vLLM servers to watch; may be empty where `--target` names them.",
    _table(
        Option(
            "url",
            reader.text,
            "URL",
            "Address of the server, such as `http://localhost:8000`, with a path prefix where a gateway needs one.",
            required=True,
        ),
        Option("name", reader.text, "text", "Value of the label `target`.", "host:port of the url"),
        Option("metrics_path", reader.text, "path", "Where the metrics are, after the url.", "/metrics"),
        Option(
            "max_num_seqs",
            _TOKENS,
            "requests",
            "vLLM's `--max-num-seqs`. No metric shows it; without it the service rate is only an upper bound.",
            "discovered, else unknown",
        ),
        Option(
            "max_num_batched_tokens",
            _TOKENS,
            "tokens",
            "vLLM's `--max-num-batched-tokens`.",
            "discovered, else unknown",
        ),
        Option("max_model_len", _TOKENS, "tokens", "vLLM's `--max-model-len`.", "discovered, else unknown"),
        Option(
            "bearer_token_file",
            reader.file_path,
            "path",
            "File that holds a bearer token for the target; read again when it changes.",
        ),
        BASIC_AUTH,
        TARGET_TLS,
        ROLE,
        TARGET_LOGS,
    ),
    is_list=True,
)

ROOT = Section("", "", _table(SERVER, SCRAPE, ESTIMATES, TRACES, LOG, DISCOVERY, TARGETS))

SECRETS = {
    "bearer_token": "bearer_token_file",
    "token": "bearer_token_file",
    "authorization": "bearer_token_file",
    "password": "password_file",
}
"""Keys by which a secret could be given in the file itself, and the key to use instead."""
