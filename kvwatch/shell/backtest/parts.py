"""Series on disk, in files of some hours each: written whole or not at all, so that a kill leaves no half of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from kvwatch.promql.labels import Array, Labels
from kvwatch.promql.series import Stored

PART_SECONDS = 6 * 3600.0
"""Time that one file holds [s]. Choice: fifty engines take some tens of megabytes while rules are evaluated."""


def write_rows(path: Path, at: Sequence[float], rows: Sequence[Mapping[Labels, float]]) -> None:
    """Write a row of values for each time; where a row lacks a series, it is not there."""
    labels = list(dict.fromkeys(key for row in rows for key in row))
    place = {key: i for i, key in enumerate(labels)}
    values = np.full((len(labels), len(at)), np.nan)
    for column, row in enumerate(rows):
        for key, value in row.items():
            values[place[key], column] = value
    names = orjson.dumps([list(map(list, key)) for key in labels])
    _save(path, names=np.frombuffer(names, dtype=np.uint8), at=np.asarray(at, dtype=float), values=values)


def read_rows(path: Path) -> dict[Labels, Stored]:
    """The series of a file; nothing where there is none for that time."""
    if not path.is_file():
        return {}
    with np.load(path) as file:
        names = [tuple((str(k), str(v)) for k, v in key) for key in orjson.loads(file["names"].tobytes())]
        at, values = file["at"], file["values"]
    return {labels: Stored(at, row) for labels, row in zip(names, values, strict=True)}


def write_json(path: Path, document: object) -> None:
    """Write a document, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.write_bytes(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
    draft.replace(path)


def write_samples(path: Path, series: Sequence[tuple[Mapping[str, str], Array, Array]]) -> None:
    """Write raw samples: of each series its labels, times and values."""
    sizes = np.array([len(at) for _, at, _ in series], dtype=np.int64)
    names = orjson.dumps([dict(labels) for labels, _, _ in series])
    at = np.concatenate([at for _, at, _ in series]) if series else np.empty(0)
    values = np.concatenate([values for _, _, values in series]) if series else np.empty(0)
    _save(path, names=np.frombuffer(names, dtype=np.uint8), sizes=sizes, at=at, values=values)


def read_samples(path: Path) -> list[tuple[dict[str, str], Array, Array]]:
    """What :func:`write_samples` has written."""
    with np.load(path) as file:
        labels = orjson.loads(file["names"].tobytes())
        cuts = np.cumsum(file["sizes"])[:-1]
        at, values = np.split(file["at"], cuts), np.split(file["values"], cuts)
    return list(zip(labels, at, values, strict=True)) if labels else []


def _save(path: Path, **arrays: npt.NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    with draft.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    draft.replace(path)
