"""The part of the OpenAI completions API that the emulated engine answers: lengths in, lengths out, no text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from kvwatch.embedded.settings import RequestShape

if TYPE_CHECKING:
    from kvwatch.embedded.request import Request

CHARACTERS_PER_TOKEN = 4
"""How long a token of a prompt given as text is taken to be."""


class BadRequestError(Exception):
    """A request that is refused, with the HTTP ``status`` to say so."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class _Completion(msgspec.Struct):
    """The fields that matter; others are accepted and ignored, as sampling changes no length."""

    prompt: list[int] | str
    model: str | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 16
    stream: bool = False


def parse_completion(body: bytes, model_name: str) -> RequestShape:
    """Return what a completion asks for, in tokens.

    Raises:
        BadRequestError: The body is not a completion request, or asks for what is not emulated.
    """
    try:
        asked = msgspec.json.decode(body, type=_Completion)
    except msgspec.DecodeError as error:
        raise BadRequestError(str(error)) from None
    if asked.model not in {None, model_name}:
        raise BadRequestError(f"The model `{asked.model}` does not exist.", 404)
    if asked.stream:
        raise BadRequestError("streaming is not emulated; leave out `stream`")
    if isinstance(asked.prompt, str):
        prompt_tokens = -(-len(asked.prompt) // CHARACTERS_PER_TOKEN)
    else:
        prompt_tokens = len(asked.prompt)
    if prompt_tokens < 1:
        raise BadRequestError("the prompt is empty")
    return RequestShape(prompt_tokens, asked.max_tokens)


def answer(request: Request, model_name: str) -> dict[str, Any]:
    """The response to a completion that is done."""
    choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": "length", "stop_reason": None}
    return {
        "id": f"cmpl-{request.identity}",
        "object": "text_completion",
        "created": int(request.arrival),
        "model": model_name,
        "choices": [choice],
        "usage": {
            "prompt_tokens": request.prompt_tokens,
            "completion_tokens": request.output_tokens,
            "total_tokens": request.prompt_tokens + request.output_tokens,
        },
    }


def error_body(message: str, status: int) -> dict[str, Any]:
    """An error as vLLM words it."""
    kind = {404: "NotFoundError", 500: "InternalServerError", 503: "ServiceUnavailableError"}
    return {"error": {"message": message, "type": kind.get(status, "BadRequestError"), "param": None, "code": status}}
