"""Names of those whom requests are charged to, as they leave kvwatch: cut to a length, and hashed where configured.

Logs and traces share this, so that one tenant has one name whatever it was read from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

MAX_TENANT_CHARACTERS = 128
_DIGEST_BYTES = 8
_MAX_KEY_BYTES = 64

TenantName = Callable[[object], str | None]
"""From a value as it was found to a tenant's name; ``None`` where the value names nobody."""


def plain_tenant(value: object) -> str | None:
    """The value as text: words and whole numbers name a tenant, anything else and the empty text do not."""
    if isinstance(value, str):
        return value[:MAX_TENANT_CHARACTERS] or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)[:MAX_TENANT_CHARACTERS] if -(2**63) <= value < 2**64 else None
    return None


def tenant_namer(*, hashed: bool = False, key: bytes | None = None) -> TenantName:
    """How tenants are named: as they are, or as 16 hexadecimal digits.

    Hashed with a ``key``, the name is a keyed BLAKE2b digest, which nobody without the key can compute from a guess;
    without one it is the beginning of a SHA-256, which hides a name from a glance but not from one who can guess it.
    The whole value is hashed, so that long names with one beginning stay apart.
    """
    if not hashed:
        return plain_tenant
    if key is not None and len(key) > _MAX_KEY_BYTES:
        key = hashlib.blake2b(key).digest()

    def name(value: object) -> str | None:
        if plain_tenant(value) is None:
            return None
        whole = str(value).encode("utf-8", "surrogatepass")
        if key is None:
            return hashlib.sha256(whole).hexdigest()[: 2 * _DIGEST_BYTES]
        return hashlib.blake2b(whole, key=key, digest_size=_DIGEST_BYTES).hexdigest()

    return name
