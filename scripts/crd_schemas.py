#!/usr/bin/env python3
"""Make JSON schemas of the custom resources that the Helm chart uses, for the tests.

    npm pack @kubernetes-models/prometheus-operator@6.0.0 @kubernetes-models/keda@2.0.0
    scripts/crd_schemas.py kubernetes-models-*.tgz

The packages hold TypeScript declarations of every field of those resources. They become schemas that know no other
fields, because what an API server does with a misspelt one is to drop it in silence. Metadata is left to the schemas of
Kubernetes itself. What types cannot say (patterns of durations) is added here.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "helm" / "schemas"
KINDS = ("PodMonitor", "ServiceMonitor", "PrometheusRule", "ScaledObject")
# Of a class, because there the fields that an interface inherits are spelled out.
FIELDS = re.compile(r"^export declare class [^{]*\{\n(.*?)^    (?:static|constructor)", re.MULTILINE | re.DOTALL)
EXPORTED = re.compile(r"^export type \{ I\w+ as (I\w+)", re.MULTILINE)
FIELD = re.compile(r'"(\w+)"(\??): ((?:[^;{]|\{[^}]*\})+);')
DURATION = {
    "type": "string",
    "pattern": "^(0|" + "".join(f"([0-9]+{unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms")) + ")$",
}
PLAIN = {"string": {"type": "string"}, "number": {"type": "number"}, "boolean": {"type": "boolean"}}


def type_schema(text: str, used: set[str]) -> dict[str, Any]:
    """The schema of one TypeScript type; interfaces that it names are added to ``used``."""
    text = text.strip()
    schema: dict[str, Any] = {}  # Kubernetes' own types, such as metadata, and `any`
    if text in PLAIN:
        schema = PLAIN[text]
    elif text.startswith("Array<"):
        schema = {"type": "array", "items": type_schema(text[6:-1], used)}
    elif text.startswith("{"):
        value = re.search(r"\[key: string\]: ([^;]+);", text)
        schema = {"type": "object"} | ({"additionalProperties": type_schema(value[1], used)} if value else {})
    elif text.startswith('"') and all(part.strip().startswith('"') for part in text.split("|")):
        schema = {"enum": [json.loads(part) for part in text.split("|")]}
    elif "|" in text:
        schema = {"anyOf": [type_schema(part, used) for part in text.split("|")]}
    elif text.endswith(("V1Duration", "V1NonEmptyDuration")):
        schema = DURATION
    elif text.startswith("IComGithub"):
        used.add(text)
        schema = {"$ref": f"#/definitions/{text}"}
    return schema


def fields_schema(body: str, used: set[str]) -> dict[str, Any]:
    """The schema of a type by its fields."""
    fields = FIELD.findall(body)
    required = [name for name, optional, _ in fields if not optional]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: type_schema(kind, used) for name, _, kind in fields},
    } | ({"required": required} if required else {})


def declarations(archive: Path) -> dict[str, str]:
    """Fields of each type in a package's declarations, as text, by its exported name; of an alias `= ` and its type."""
    found: dict[str, str] = {}
    with tarfile.open(archive) as tarball:
        for member in tarball:
            file = tarball.extractfile(member) if member.name.endswith(".d.ts") else None
            if file is None:
                continue
            text = re.sub(r"/\*.*?\*/", "", file.read().decode(), flags=re.DOTALL)
            name, fields = EXPORTED.search(text), FIELDS.search(text)
            if name and fields:
                found[name[1]] = fields[1]
            elif name and (alias := re.search(r"^export type I\w+ = (.+?);$", text, re.MULTILINE | re.DOTALL)):
                found[name[1]] = f"= {alias[1]}"
    return found


def schema_of(root: str, interfaces: dict[str, str]) -> dict[str, Any]:
    """The schema of an interface with all that it names."""
    definitions: dict[str, Any] = {}
    waiting = {root}
    while waiting:
        name = waiting.pop()
        used: set[str] = set()
        body = interfaces[name]
        definitions[name] = type_schema(body[2:], used) if body.startswith("= ") else fields_schema(body, used)
        waiting |= used - definitions.keys()
    top = definitions.pop(root)
    short = {name: re.sub(r".*(?:MonitoringV1|KedaV1alpha1)", "", name) for name in definitions}
    text = json.dumps({"$schema": "http://json-schema.org/draft-07/schema#"} | top | {"definitions": definitions})
    for name, brief in short.items():
        text = text.replace(f'"{name}"', f'"{brief}"').replace(f'"#/definitions/{name}"', f'"#/definitions/{brief}"')
    schema: dict[str, Any] = json.loads(text)
    schema["definitions"] = dict(sorted(schema["definitions"].items()))
    return schema


def main() -> int:
    """Write a schema for each kind found in the archives."""
    if len(sys.argv) < 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    interfaces: dict[str, str] = {}
    for archive in sys.argv[1:]:
        interfaces |= declarations(Path(archive))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        (root,) = (name for name in interfaces if re.search(rf"(MonitoringV1|KedaV1alpha1){kind}$", name))
        path = FOLDER / f"{kind}.json"
        path.write_text(json.dumps(schema_of(root, interfaces), indent=1) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path}: {path.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
