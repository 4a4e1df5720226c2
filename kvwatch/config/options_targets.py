"""Keys of the configuration file that say what is watched: targets, their logs, and where they are found."""

from __future__ import annotations

from kvwatch.config import log_sources, reader
from kvwatch.config.discovery import port, shard
from kvwatch.config.option import Option, Section, table
from kvwatch.parse.logs import FORMATS, QUANTITIES

_TOKENS = reader.integer(1, 2**31 - 1)

BASIC_AUTH = Section(
    "basic_auth",
    "HTTP basic authentication. Not together with bearer_token_file.",
    table(
        Option("username", reader.text, "text", "User name.", required=True),
        Option("password_file", reader.file_path, "path", "File that holds the password.", required=True),
    ),
)

TARGET_TLS = Section(
    "tls",
    "How an https target's certificate is checked. The files may rotate; changes are picked up.",
    table(
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
    table(
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
            "Values that a path must have, one or a list, for the line to count: a gateway's log is about all servers.",
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

EXPERTS = Option(
    "experts",
    reader.experts,
    "dense or [E, k]",
    "What the model is, where the name that vLLM serves it under does not say: `dense`, or the numbers of routed "
    "experts and of those that a token uses, such as `[128, 8]`. A mixture's step time bends with its load.",
    "known by the model's name, else weighed by what is seen",
)

FOUND_TARGET = Section(
    "target",
    "What holds of every target that the source finds.",
    table(
        Option("scheme", reader.choice("http", "https"), "word", "Used where the source names no other.", "http"),
        Option("metrics_path", reader.text, "path", "Likewise.", "/metrics"),
        ROLE,
        Option("max_num_seqs", _TOKENS, "requests", "vLLM's `--max-num-seqs`.", "found, else vLLM's default"),
        Option(
            "max_num_batched_tokens",
            _TOKENS,
            "tokens",
            "vLLM's `--max-num-batched-tokens`.",
            "found, else vLLM's default",
        ),
        Option("max_model_len", _TOKENS, "tokens", "vLLM's `--max-model-len`.", "found, else vLLM's default"),
        EXPERTS,
        Option("bearer_token_file", reader.file_path, "path", "File that holds a bearer token for the targets."),
        BASIC_AUTH,
        TARGET_TLS,
    ),
)

DISCOVERY = Section(
    "discovery",
    "Where targets are found while kvwatch runs, beside those of `targets`. A source that fails keeps what it found "
    "last. [fleets.md](fleets.md) says more.",
    table(
        Option(
            "max_targets",
            reader.integer(1, 100_000),
            "targets",
            "Most targets that are watched, by default as many as keep a core busy at a scrape a second; of more, the "
            "same ones are left out each time.",
            "1000",
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
            table(
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
            table(
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
            table(
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
            table(
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
    table(
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
            "vLLM's `--max-num-seqs`, where it is not found by itself ([settings.md](settings.md)).",
            "found, else vLLM's default",
        ),
        Option(
            "max_num_batched_tokens",
            _TOKENS,
            "tokens",
            "vLLM's `--max-num-batched-tokens`.",
            "found, else vLLM's default",
        ),
        Option("max_model_len", _TOKENS, "tokens", "vLLM's `--max-model-len`.", "found, else vLLM's default"),
        EXPERTS,
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
