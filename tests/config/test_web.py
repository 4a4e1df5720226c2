"""The web configuration file: what is taken, and what a mistake is answered with."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from kvwatch.config import ConfigError, load_web_config
from kvwatch.config.web import WebConfig, WebTls, read_web_config
from kvwatch.config.web_ciphers import _CIPHERS, _EXCHANGES, cipher_suites
from kvwatch.shell.access.tls import TlsSettings, tls_context
from tests.shell.conftest import TLS

HASH = "$2y$10$uFsGMpEh1tWx8e8YJvrEA.hYCcf/Mluw6j8hEHInEBiHOEvaKDrzi"
WHOLE = f"""
tls_server_config:
  cert_file: server.crt
  key_file: /etc/kvwatch/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus.example]
  min_version: TLS13
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  curve_preferences: [CurveP256]
  prefer_server_cipher_suites: true
http_server_config:
  http2: false
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
basic_auth_users:
  alice: {HASH}
"""


def faults(text: str) -> list[str]:
    """What is wrong with a file."""
    with pytest.raises(ConfigError) as caught:
        read_web_config(text.encode(), Path("/etc"))
    return [str(fault) for fault in caught.value.faults]


def test_everything_that_the_format_has_is_read() -> None:
    """Files are found beside the file that names them."""
    config = read_web_config(WHOLE.encode(), Path("/run/web"))
    assert config == WebConfig(
        WebTls(
            Path("/run/web/server.crt"),
            Path("/etc/kvwatch/server.key"),
            "RequireAndVerifyClientCert",
            Path("/run/web/ca.crt"),
            ("prometheus.example",),
            "TLS13",
            "TLS13",
            ("ECDHE-RSA-AES128-GCM-SHA256",),
            "prime256v1",
        ),
        {"Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "deny"},
        {"alice": HASH.encode()},
    )


@pytest.mark.parametrize("text", ["", "tls_server_config:\n", "basic_auth_users:\n", "http_server_config:\n"])
def test_what_is_left_out_guards_nothing(text: str) -> None:
    """An empty file is plain HTTP for everyone, as with every exporter."""
    assert read_web_config(text.encode(), Path()) == WebConfig()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("tls_server_config: {cert_file: a}", "tls_server_config.key_file: is missing"),
        ("tls_server_config: {}", "tls_server_config.cert_file: is missing"),
        ("tls_config: {}", 'tls_config: unknown key; did you mean "tls_server_config"?'),
        ("basic_auth_users: {alice: secret}", 'basic_auth_users.alice: expected a bcrypt hash in quotes; "htpasswd'),
        ("basic_auth_users: {'a:b': x}", 'basic_auth_users: "a:b" is no name of a user'),
        (f"basic_auth_users: {{a: {HASH.replace('$10$', '$31$')}}}", "the hash's cost 31 is not from 4 to 14"),
        ("basic_auth_users: [alice]", "basic_auth_users: expected names and bcrypt hashes"),
        ("http_server_config: {headers: {Server: x}}", "http_server_config.headers.Server: unknown key"),
        ("http_server_config: {headers: {X-Frame-Options: 'a\\r\\nb: c'}}", None),
        ('http_server_config: {headers: {X-Frame-Options: "a\\r\\nb: c"}}', "expected text on one line"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_its_mend(text: str, fault: str | None) -> None:
    """Never with a password or a hash."""
    if fault is None:
        read_web_config(text.encode(), Path())
        return
    found = faults(text)
    assert any(fault in one for one in found), found
    assert not any("secret" in one or "$2y$" in one for one in found)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("client_auth_type: RequireAndVerifyClientCert", "client_auth_type: needs client_ca_file; add it"),
        ("client_auth_type: RequireAnyClientCert", "proves nothing and is not offered; give RequireAndVerify"),
        ("client_auth_type: Always", '"Always" is not a choice; give NoClientCert or VerifyClientCertIfGiven or'),
        ("client_ca_file: ca.crt", "client_ca_file: is of no use without client_auth_type"),
        ("client_allowed_sans: [a]", "client_allowed_sans: needs client_auth_type: RequireAndVerifyClientCert"),
        ("min_version: SSL30", '"SSL30" is not a choice'),
        ("{min_version: TLS13, max_version: TLS12}", "min_version: TLS13 is newer than max_version, TLS12"),
        ("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA]", "did you mean"),
        ("curve_preferences: [CurveP256, X25519]", "only one curve can be chosen"),
        ("curve_preferences: [P256]", "unknown curve"),
    ],
)
def test_what_cannot_be_kept_is_refused(line: str, fault: str) -> None:
    """No setting of TLS is weakened or dropped in silence."""
    more = line if line.startswith("{") else f"{{{line}}}"
    found = faults(f"tls_server_config: {{cert_file: a, key_file: b, {more[1:]}")
    assert any(fault in one for one in found), found


def test_every_suite_of_the_table_is_one_of_openssl() -> None:
    """With each alone a context can be made; 6 suites for each of 3 key exchanges, but those that nobody has."""
    made = 0
    for exchange in _EXCHANGES:
        for cipher in _CIPHERS:
            names = cipher_suites([f"TLS_{exchange}_WITH_{cipher}"], "", [])
            try:
                context = tls_context(TlsSettings(TLS / "server.crt", TLS / "server.key", ciphers=names or ()))
            except ssl.SSLError:
                assert (exchange, cipher) == ("RSA", "CHACHA20_POLY1305_SHA256")
                continue
            assert names is not None
            assert names[0] in {suite["name"] for suite in context.get_ciphers()}
            made += 1
    assert made == 17


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """So is one with a fault, in front of the place in it."""
    with pytest.raises(ConfigError, match=r"none.yml: cannot read the file: No such file"):
        load_web_config(tmp_path / "none.yml")
    file = tmp_path / "web.yml"
    file.write_text("basic_auth: {}")
    with pytest.raises(ConfigError, match=r"web.yml: basic_auth: unknown key"):
        load_web_config(file)
