"""Whether a sender of traces may send: the bearer token from a file, compared in constant time."""

from __future__ import annotations

import hmac
import logging
from pathlib import Path

from kvwatch.shell.logging import event
from kvwatch.shell.scrape.credentials import Authenticator, Credentials, CredentialsError


class BearerCheck:
    """Compares what a sender shows with the token in a file, which may rotate; without a file everyone may send."""

    def __init__(self, token_file: Path | None) -> None:
        self.asks = token_file is not None
        """Whether a token is asked for at all."""
        self._expected = Authenticator(Credentials(bearer_token_file=token_file), https=False)
        self._fault = ""

    def allows(self, authorization: str | None) -> bool:
        """Whether the sender's Authorization header is right. While the file cannot be read, no sender's is."""
        try:
            expected = self._expected.headers().get("Authorization")
        except CredentialsError as error:
            if self._fault != str(error):
                self._fault = str(error)
                event(logging.ERROR, "traces_token_unreadable", detail=str(error), effect="no sender is let in")
            return False
        self._fault = ""
        if expected is None:
            return True
        kind, _, token = (authorization or "").strip().partition(" ")
        shown = f"{kind.title()} {token.strip()}"
        return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), expected.encode())
