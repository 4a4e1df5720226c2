"""OTLP over HTTP: ``POST /v1/traces`` and ``POST /v1/traces/TARGET`` on kvwatch's own port.

Statuses and bodies are those of the OTLP specification 1.x: 200 with what was rejected, 400 and other 4xx for what is
useless to send again, 429 and 503 with Retry-After for what is not. Bodies come back in the encoding of the request.
"""

from __future__ import annotations

import math

import orjson
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from kvwatch.shell.otlp.auth import BearerCheck
from kvwatch.shell.otlp.body import BodyError, read_body
from kvwatch.shell.otlp.ingest import Outcome, Sender, TraceIntake
from kvwatch.shell.otlp.limits import BusyError, ByteBudget

PATH = "/v1/traces"
BODY_SECONDS = 10.0
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"


class TracesEndpoint:
    """Answers exports. ``budget`` bounds what all bodies being read hold together."""

    def __init__(
        self,
        intake: TraceIntake,
        auth: BearerCheck,
        budget: ByteBudget,
        *,
        max_body_bytes: int,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._intake = intake
        self._auth = auth
        self._budget = budget
        self._max_body_bytes = max_body_bytes
        self._body_seconds = body_seconds

    def routes(self) -> list[web.RouteDef]:
        """What to add to kvwatch's own routes."""
        return [web.post(PATH, self.export), web.post(PATH + "/{target:.+}", self.export)]

    async def export(self, request: web.Request) -> web.Response:
        """One export."""
        content_type = request.content_type.lower()
        try:
            outcome = await self._export(request, json=content_type == _JSON)
        except BodyError as error:
            return _failure(content_type, error.status, str(error))
        except BusyError as error:
            status = 429 if error.of_rate else 503
            response = _failure(content_type, status, str(error))
            response.headers["Retry-After"] = str(math.ceil(error.retry_seconds))
            return response
        if outcome.damaged:
            return _failure(content_type, 400, outcome.message)
        return _success(content_type, outcome)

    async def _export(self, request: web.Request, *, json: bool) -> Outcome:
        if not self._auth.allows(request.headers.get("Authorization")):
            raise BodyError(401, "traces.bearer_token_file holds another token")
        if request.content_type.lower() not in (_PROTOBUF, _JSON):
            raise BodyError(415, f"Content-Type may be {_PROTOBUF} or {_JSON}")
        target = request.match_info.get("target")
        if target is not None and target not in self._intake.targets:
            raise BodyError(404, "no target has the name in the path")
        self._intake.admit()
        with self._budget.share() as share:
            body = await read_body(request, share, max_bytes=self._max_body_bytes, within_seconds=self._body_seconds)
            return await self._intake.take(body, Sender(request.remote, target), json=json)


def _success(content_type: str, outcome: Outcome) -> web.Response:
    if content_type == _JSON:
        document: dict[str, object] = {}
        if outcome.rejected:
            document["partialSuccess"] = {"rejectedSpans": str(outcome.rejected), "errorMessage": outcome.message}
        return web.Response(body=orjson.dumps(document), content_type=_JSON)
    return web.Response(body=success_message(outcome), content_type=_PROTOBUF)


def success_message(outcome: Outcome) -> bytes:
    """The answer to an export that was read, in protobuf."""
    answer = ExportTraceServiceResponse()
    if outcome.rejected:
        answer.partial_success.rejected_spans = outcome.rejected
        answer.partial_success.error_message = outcome.message
    return bytes(answer.SerializeToString())


def _failure(content_type: str, status: int, message: str) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if content_type == _JSON:
        body = orjson.dumps({"message": message})
        return web.Response(body=body, status=status, content_type=_JSON, headers=headers)
    # google.rpc.Status is asked for; a span's Status has its message in the field of the same number
    body = Status(message=message).SerializeToString()
    return web.Response(body=body, status=status, content_type=_PROTOBUF, headers=headers)
