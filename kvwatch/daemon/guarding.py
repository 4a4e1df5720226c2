"""How kvwatch's own ports are guarded, made from the configuration and from the files that it names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kvwatch.config import ConfigError, Fault, ServerConfig, WebConfig, WebTls, load_web_config
from kvwatch.shell.access.passwords import Passwords
from kvwatch.shell.access.policy import Pem, PolicyFiles, WebPolicy
from kvwatch.shell.access.tls import TlsSettings, tls_context


def policy_files(server: ServerConfig) -> PolicyFiles:
    """The policy of a configuration, which follows its files.

    Raises:
        ConfigError: the web configuration file has faults, or files cannot be used.
    """
    try:
        return PolicyFiles(partial(_policy, server))
    except _UnusableFilesError as error:
        raise ConfigError(error.faults) from None


def follow_server(files: PolicyFiles, server: ServerConfig) -> None:
    """Take what another configuration says from now on.

    Raises:
        ConfigError: it cannot be used, and what was before stays.
    """
    try:
        files.load(partial(_policy, server))
    except _UnusableFilesError as error:
        raise ConfigError(error.faults) from None


class _UnusableFilesError(ValueError):
    """What files of the policy are unusable for."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


def _policy(server: ServerConfig) -> WebPolicy:
    """Raises _UnusableFilesError."""
    file, place = server.web_config_file, "server.tls"
    if file is None:
        tls = None if server.tls is None else WebTls(server.tls.cert_file, server.tls.key_file)
        web = WebConfig(tls)
    else:
        place = str(file)
        try:
            web = load_web_config(file)
        except ConfigError as error:
            raise _UnusableFilesError(error.faults) from None
    settings = None if web.tls is None else _settings(web.tls)
    try:
        return WebPolicy(
            tls=None if settings is None else tls_context(settings),
            client_required=settings is not None and settings.client_cert_required,
            client_names=frozenset(web.tls.client_allowed_sans) if web.tls else frozenset(),
            passwords=Passwords(web.users),
            headers=web.headers,
            files=(*((file,) if file else ()), *_pem_files(settings)),
            pem=None if settings is None else _pem(settings),
        )
    except OSError as error:  # OpenSSL's are of that kind
        raise _UnusableFilesError((Fault(place, f"cannot use the files: {error.strerror or error}"),)) from None


def _settings(tls: WebTls) -> TlsSettings:
    return TlsSettings(
        tls.cert_file,
        tls.key_file,
        tls.client_ca_file,
        tls.client_auth_type == "RequireAndVerifyClientCert",
        tls.min_version,
        tls.max_version,
        tls.cipher_suites,
        tls.curve,
    )


def _pem_files(settings: TlsSettings | None) -> tuple[Path, ...]:
    if settings is None:
        return ()
    return tuple(file for file in (settings.cert_file, settings.key_file, settings.client_ca_file) if file is not None)


def _pem(settings: TlsSettings) -> Pem:
    ca = settings.client_ca_file
    return Pem(settings.key_file.read_bytes(), settings.cert_file.read_bytes(), ca.read_bytes() if ca else None)
