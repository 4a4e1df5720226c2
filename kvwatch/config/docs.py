"""The pages ``docs/config.md`` and ``docs/web.md``, generated from the tables of options so that they cannot drift."""

from __future__ import annotations

from collections.abc import Iterator

from kvwatch.config.option import Option, Section
from kvwatch.config.options import ROOT
from kvwatch.config.web import WEB

_HEAD = """\
# Configuration

Generated from `kvwatch/config/options.py`; `python -m kvwatch.cli.docs docs` writes it again.

`kvwatch run --config kvwatch.yaml` reads one YAML file; [kvwatch.example.yaml](../kvwatch.example.yaml) shows every
key. Flags win over the file. `kvwatch check-config FILE` prints every mistake with the path to it, without starting
anything: unknown keys, wrong types, values out of range, duplicate keys and duplicate targets are all errors.

Durations are text such as `500ms`, `15s`, `5m` or `1h`, or a number of seconds. Secrets are never in the file: it
names files that hold them, which may rotate while kvwatch runs.

SIGHUP reads the file again. Targets come and go without a loss to those that stay. A file with a mistake changes
nothing: its faults are logged, and `kvwatch_config_last_reload_successful` is 0 until one without is read. Changes of
`server`, `estimates`, `slo`, `traces` and `scrape.interval` need a restart, and the log says so.
"""

_TABLE = "| key | value | default | meaning |\n|---|---|---|---|"
_WEB_HEAD = """\
# TLS, users and headers of kvwatch's own port

Generated from `kvwatch/config/web.py`; `python -m kvwatch.cli.docs docs` writes it again.

`kvwatch run --web.config.file web.yml`, or `server.web_config_file` in the configuration, reads the file that
Prometheus and its exporters take under the same flag, so one file serves all of them. It holds for kvwatch's own port,
for `traces.listen` and for `traces.grpc_listen`. `kvwatch check-config` checks it where the configuration names it.

    tls_server_config:
      cert_file: server.crt # beside this file
      key_file: server.key
      client_auth_type: RequireAndVerifyClientCert
      client_ca_file: ca.crt
    basic_auth_users:
      prometheus: "$2y$10$..." # htpasswd -nBC 10 prometheus

Files may rotate, and the file itself may change: kvwatch looks every five seconds. What it cannot use it logs as
`web_files_rejected`, and what it read before stays in force, so a mistake neither opens the port nor closes it.

- `/-/healthy` and `/-/ready` ask for no password: a kubelet has none, and they say one word.
- Exports of traces ask for the token of `traces.bearer_token_file` where there is one, else for a user's password.
- Where clients must show a certificate, a kubelet's HTTP probe cannot: use a TCP probe. gRPC asks for certificates
  as it did at the start; the certificate it shows, users and names follow the file.
- A wrong password costs bcrypt's time in a thread; sixteen wait at most, others get 503. A right one is remembered.
- Unknown keys are errors, and so is what would weaken the rest in silence: client certificates that nobody verifies.
"""


def web_page() -> str:
    """The page on the web configuration file as Markdown."""
    own = [row for option in WEB.content.values() if isinstance(option, Option) for row in (_row(option),)]
    return "\n".join(
        [_WEB_HEAD, "| key | value | default | meaning |\n|---|---|---|---|", *own, "", *_sections(WEB, "")]
    )


def config_page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *_sections(ROOT, "")])


def _sections(section: Section, path: str) -> Iterator[str]:
    for entry in section.content.values():
        if not isinstance(entry, Section):
            continue
        inner = f"{path}{entry.key}{'[]' if entry.is_list else ''}"
        yield f"## `{inner}`\n" + (f"\n{entry.help}\n" if entry.help else "")
        yield _TABLE
        yield from (_row(option) for option in entry.content.values() if isinstance(option, Option))
        yield ""
        yield from _sections(entry, f"{inner}.")


def _row(option: Option) -> str:
    default = "required" if option.required else f"`{option.default}`" if option.default else "none"
    return f"| `{option.key}` | {option.kind} | {default} | {option.help} |"
