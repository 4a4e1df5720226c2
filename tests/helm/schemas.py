"""Whether objects are what an API server knows, with nothing misspelt: it drops unknown fields without a word."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate

from tests.helm.chart import Object

FOLDER = Path(__file__).with_name("schemas")
VERSIONS = ("1.27", "1.30", "1.33", "1.37")
"""Kubernetes minors, from the oldest that Kubernetes' own support of a sidecar's features still meets in the field."""


@cache
def custom(kind: str) -> jsonschema.Draft7Validator | None:
    """The schema of a custom resource; scripts/crd_schemas.py makes them."""
    path = FOLDER / f"{kind}.json"
    return jsonschema.Draft7Validator(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def faults(item: Object, version: str) -> list[str]:
    """What is wrong with an object for a Kubernetes minor version: wrong types and unknown fields."""
    place = f"{item['kind']}/{item['metadata'].get('name')}"
    validator = custom(item["kind"])
    if validator is not None:
        return [f"{place}: {error.json_path}: {error.message}" for error in validator.iter_errors(item)]
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{place} ({version}): {error.message}"]
    return []
