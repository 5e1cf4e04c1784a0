"""Data from elsewhere against a typed schema (`msgspec`), with the mismatch in plain words."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from cbam_viz._text import shortened

_T = TypeVar("_T")


class MismatchError(Exception):
    """Data is not as its schema says. Caught where it is known what the data describes."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.place = place
        """Dotted names from the outside in, such as `pretrained_cfg.mean[0]`; may be empty."""
        self.reason = reason
        """What was expected, without the value: that may be long, and is not ours."""


def read_json(text: str | bytes) -> Any:
    """Return what a JSON text holds, as plain values.

    Strict where the standard library is not: NaN, infinities, numbers beyond a double and halves
    of surrogate pairs are refused.

    Raises:
        MismatchError: it is no JSON, or is nested too deeply.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MismatchError("", shortened(str(error), 120)) from error


def checked(value: Any, kind: type[_T]) -> _T:
    """Return plain values (dictionaries, lists, numbers, texts) as `kind`. Nothing is coerced.

    Raises:
        MismatchError: a type, a range or a length is not as `kind` says.
    """
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        reason, _, place = str(error).rpartition(" - at `$")
        if not reason:
            reason, place = str(error), ""
        reason = shortened(reason.replace("`", ""), 120)
        raise MismatchError(
            shortened(place.rstrip("`").lstrip(".")), reason[:1].lower() + reason[1:]
        ) from error
