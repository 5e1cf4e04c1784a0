"""Capturing the gates of any network, exactly: `capture`, `Capture`, `find_cbam_layers`."""

from .api import Capture, capture, find_cbam_layers

__all__ = ["Capture", "capture", "find_cbam_layers"]
