"""Fuzzes configuration files: each is a configuration, or faults that name their places. Nothing else may be raised.

    python -m tests.fuzz.configs --seconds 600

The files are good ones with every key, changed in one to three places: other types, tags, and numbers of any length.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from kvwatch.config import ConfigError, read_config
from kvwatch.config.web import read_web_config
from tests.fuzz.engines import command, drawn
from tests.fuzz.trees import Change, Place, change, changes, marked, places

DATA = Path(__file__).parents[1] / "data" / "config" / "good"
LONGEST_MESSAGE = 2000
"""Of one fault [characters]: a terminal's worth, however long the value is."""

MARKS = {
    "nan": ".nan",
    "infinite": "-.inf",
    "huge": "1.0e+308",
    "long": "9" * 400,
    "longer": "9" * 5000,
    "hex": "0x" + "f" * 5000,
    "binary": "0b" + "1" * 20_000,
    "sexagesimal": ":".join(["1"] * 300),
    "hours": ":".join(["1"] * 300) + ".5",
    "date": "2024-01-01",
    "nodate": "2024-99-99",
    "moment": "0001-01-01T00:00:00+23:59",
    "zone": "2024-01-01T00:00:00+99:99",
    "bool": "!!bool x",
    "int": '!!int ""',
    "float": '!!float ""',
    "stamp": "!!timestamp x",
    "bytes": "!!binary aGVsbG8=",
    "nobytes": '!!binary "\u00e9"',
    "set": "!!set {a, b}",
    "ordered": "!!omap [a: 1]",
    "pairs": "!!pairs [a: 1]",
    "python": "!!python/object/apply:os.system [true]",
    "own": "!mine x",
    "bang": "! x",
    "list": "!!str [a]",
    "merge": "{<<: 5}",
    "merges": "{<<: [{a: 1}, {a: 2}]}",
    "value": "{=: 1}",
    "keys": "{[a]: b}",
    "dates": "{2024-01-01: x, null: y, 1.5: z, true: w}",
    "hexkey": "{0x" + "f" * 5000 + ": x}",
    "nested": "[" * 40 + "]" * 40,
    "abyss": "[" * 5000 + "]" * 5000,
    "many": "[" + ",".join(["1"] * 20_000) + "]",
    "text": "x" * 100_000,
    "escape": '"\\ud800"',
    "controls": '"\\0\\a\\e\\x9b"',
    "anchor": "&a [*a]",
}
"""YAML that no encoder writes."""
CHANGES = st.tuples(st.booleans(), changes(MARKS))

_WEB = {
    "tls_server_config": {
        "cert_file": "server.crt",
        "key_file": "server.key",
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": "ca.crt",
        "client_allowed_sans": ["prometheus.example"],
        "min_version": "TLS12",
        "max_version": "TLS13",
        "cipher_suites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
        "curve_preferences": ["CurveP256"],
        "prefer_server_cipher_suites": True,
    },
    "http_server_config": {"http2": False, "headers": {"X-Frame-Options": "deny"}},
    "basic_auth_users": {"alice": "$2y$10$uFsGMpEh1tWx8e8YJvrEA.hYCcf/Mluw6j8hEHInEBiHOEvaKDrzi"},
}
_EXAMPLE = Path(__file__).parents[2] / "kvwatch.example.yaml"


@cache
def texts() -> tuple[str, str]:
    """A configuration with nearly every key, and a web configuration with every one, as YAML."""
    good, shown = (yaml.safe_load(path.read_text()) for path in (DATA / "fleet.yaml", _EXAMPLE))
    both = {**shown, **good}
    both["discovery"] = {
        "max_targets": 10,
        "shard": "0/2",
        "kubernetes": [{"namespaces": ["a"], "label_selector": "app=vllm", "port": 8000, "target": {"role": "decode"}}],
        "dns": [{"names": ["vllm.example"], "type": "A", "port": 8000, "interval": "30s"}],
        "files": [{"paths": ["/etc/*.yaml"], "interval": "5s"}],
        "http": [{"url": "https://inventory.example", "interval": "1m"}],
    }
    both["slo"] = {"ttft_p95": "2s", "sizes_replicas": True}
    logs = [
        {
            "path": "/var/log/*.log",
            "format": "json",
            "fields": {"finish": "a.b", "prompt_tokens": "p", "completion_tokens": "c"},
            "only": {"c": "d"},
        }
    ]
    both["targets"][0]["logs"] = logs
    both["targets"][0]["experts"] = [128, 8]
    return yaml.safe_dump(both), yaml.safe_dump(_WEB)


def sections(document: Any) -> list[list[Place]]:
    """The places of each top-level key."""
    own = [*places({"": document})][:1]
    inner = document.values() if isinstance(document, dict) else ()
    return [own, *(found for part in inner if (found := list(places(part))))]


def changed(web: bool, made: list[Change]) -> bytes:
    """One of the two files with these changes."""
    document = {"": yaml.safe_load(texts()[web])}
    change(document[""], made, sections)
    return marked(yaml.safe_dump(document[""], width=1 << 20), MARKS).encode()


def read(content: bytes, *, web: bool) -> tuple[str, ...]:
    """What is wrong with a file, in words; raises where it is neither read nor refused as it should be."""
    try:
        if web:
            read_web_config(content, Path("/etc"))
        else:
            read_config(content)
    except ConfigError as error:
        found = tuple(map(str, error.faults))
        assert found
        assert all(len(words) <= LONGEST_MESSAGE and words.isprintable() for words in found), found
        return found
    return ()


def run_hypothesis(seconds: float) -> int:
    """How many were tried in this time; raises where one of them, or all together, did harm."""

    def attempt(example: tuple[bool, list[Change]]) -> int:
        web, made = example
        read(changed(web, made), web=web)
        return 1

    return drawn(seconds, CHANGES, attempt, "files")


if __name__ == "__main__":
    command("tests.fuzz.configs", __doc__, run_hypothesis)
