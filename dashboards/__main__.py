"""Write the dashboards' JSON beside this file."""

from __future__ import annotations

from pathlib import Path

from dashboards.write import DASHBOARDS, to_json


def main() -> None:
    """Write each dashboard."""
    for name, build in DASHBOARDS.items():
        path = Path(__file__).parent / name
        path.write_text(to_json(build()), encoding="utf-8")


if __name__ == "__main__":
    main()
