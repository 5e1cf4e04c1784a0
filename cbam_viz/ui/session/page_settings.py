"""The settings that belong to one page alone, and their part of a link.

Nothing here knows Streamlit. Such a setting is declared where its control is drawn, by a name and a
default; what differs from the default is in the link while its page is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from cbam_viz.ui.session.link import read_like, written


@dataclass
class PageSettings:
    """What the visitor set on one page, kept while other pages are shown."""

    prefix: str
    """Of the page's parameters in a link: a page's `opacity` is not that of all pages."""
    values: dict[str, Any] = field(default_factory=dict)
    link: dict[str, str] = field(default_factory=dict)
    """What a link says of controls that have not been drawn since; each is checked when it is."""
    params: dict[str, str] = field(default_factory=dict)
    """What the controls drawn in the last run add to the link."""

    def open_link(self, params: Mapping[str, str]) -> None:
        """Take over what a link's parameters say of this page; all else goes back to defaults."""
        self.values.clear()
        self.link = {
            name.removeprefix(self.prefix): text
            for name, text in params.items()
            if name.startswith(self.prefix)
        }

    def read(
        self,
        name: str,
        default: Any,
        among: Collection[Any] | None = None,
        between: tuple[float, float] | None = None,
    ) -> tuple[Any, bool]:
        """A setting's value, and whether all that a link says of it could be used.

        With `among`, a value that is not among the options (any more) falls back to `default`; of
        a list, what is left is kept. With `between`, numbers are kept within.
        """
        usable, wanted = True, self.values.get(name, default)
        if name in self.link:
            try:
                wanted = read_like(self.link.pop(name), default)
            except ValueError:
                wanted, usable = default, False
            usable = usable and _allowed(wanted, default, among, between) == wanted
        value = self.values[name] = _allowed(wanted, default, among, between)
        if value != default:
            self.params[self.prefix + name] = written(value)
        return value, usable


def _allowed(
    value: Any,
    default: Any,
    among: Collection[Any] | None,
    between: tuple[float, float] | None,
) -> Any:
    if among is not None and isinstance(value, list):
        return [one for one in value if one in among]
    if among is not None and value not in among:
        return default
    if between is not None:
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(between[0] <= number <= between[1] for number in numbers):
            return default
    return value
