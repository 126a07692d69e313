"""The HTML templates: escaped, with the filters that numbers need."""

from typing import Any

import jinja2

from raudeep.report import text

__all__ = ["render"]


def render(template: str, **values: Any) -> str:
    """Return a template of this package, filled with `values`; whatever is text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raudeep", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = text.percent
    environment.filters["duration"] = text.duration
    environment.filters["thousands"] = text.thousands
    return environment.get_template(template).render(**values)
