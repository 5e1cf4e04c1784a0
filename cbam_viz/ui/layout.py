"""Measures that several pages share."""

from __future__ import annotations

COLUMNS = (7, 5)
"""Widths of the picture and of what stands beside it."""
