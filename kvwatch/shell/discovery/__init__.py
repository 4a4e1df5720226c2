"""Sources of targets: DNS, files, HTTP endpoints and the Kubernetes API. Each delivers all that it sees, anew."""

from kvwatch.shell.discovery.dns import DnsSource
from kvwatch.shell.discovery.files import FilesSource
from kvwatch.shell.discovery.found import Found, Source, SourceError
from kvwatch.shell.discovery.http import HttpSource
from kvwatch.shell.discovery.kubernetes import KubernetesSettings, KubernetesSource
from kvwatch.shell.discovery.shards import in_shard

__all__ = [
    "DnsSource",
    "FilesSource",
    "Found",
    "HttpSource",
    "KubernetesSettings",
    "KubernetesSource",
    "Source",
    "SourceError",
    "in_shard",
]
