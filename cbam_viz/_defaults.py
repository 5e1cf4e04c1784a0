"""Defaults that the app, the command line and Python share, where `--help` must not wait for more.

Importing this module imports nothing.
"""

OPACITY = 0.55
"""Of a map over its photo: 0 shows the photo alone, 1 the map alone."""
