"""Write the rule file beside this file."""

from __future__ import annotations

from alerts.rule_file import GROUPS
from alerts.write import RULE_FILE, to_yaml


def main() -> None:
    """Write it."""
    RULE_FILE.write_text(to_yaml(GROUPS), encoding="utf-8")


if __name__ == "__main__":
    main()
