"""Numbers in the texts of alerts: templates that ask Prometheus when the text is made."""

from __future__ import annotations

from types import MappingProxyType


def asked(query: str, selector: str) -> str:
    """A template's ``query``: each ``%s``, or all ``%[1]s``, stand for the matchers of the alert's model or engine."""
    quoted = query.replace('"', r"\"")
    arguments = f" {selector}" * max(query.count("%s"), 1)
    return f'query (printf "{quoted}"{arguments})'


def shown(query: str, form: str, otherwise: str) -> str:
    """The answer to a query of a template in a format, or words where there is none."""
    return "{{ with " + query + ' }}{{ . | first | value | printf "' + form + '" }}{{ else }}' + otherwise + "{{ end }}"


FORMS = MappingProxyType({"%.2f": "number", "%.0f": "whole", "%.0f%%": "percent"})
"""Templates within the texts that show the answer to a query in a format, or "unknown"."""
FORM_DEFINITIONS = MappingProxyType(
    {
        name: '{{ define "' + name + '" }}' + shown("query .", form, "unknown") + "{{ end -}}"
        for form, name in FORMS.items()
    }
)
"""What defines each of them; a line of its own, since every text is a world of its own to Prometheus."""


def number(query: str, selector: str, form: str = "%.2f", otherwise: str = "unknown") -> str:
    """A number in a format, or words where there is none."""
    asks = asked(query, selector)
    if form not in FORMS or otherwise != "unknown":
        return shown(asks, form, otherwise)
    return '{{ template "' + FORMS[form] + '" ' + asks.removeprefix("query ") + " }}"


def of_model(series: str, form: str = "%.2f") -> str:
    """A recorded series of the alert's model."""
    return number(f"{series}{{%s}}", "$m", form)


def of_engine(series: str, form: str = "%.2f") -> str:
    """A metric of the alert's engine."""
    return number(f"{series}{{%s}}", "$e", form)


def percent(query: str) -> str:
    """Of the alert's engine; the alert's value where it is not there any more."""
    return number(f"100 * {query}", "$e", "%.0f%%", "{{ $value | humanizePercentage }}")


def a_minute(slope: str, selector: str) -> str:
    """A queue's trend in brackets; nothing where it is not known."""
    return (
        "{{ with "
        + asked(f"60 * {slope}", selector)
        + ' }} ({{ . | first | value | printf "%+.0f" }} a minute){{ end }}'
    )
