"""The `cbam-viz` command. Modules here import torch and the rest only when a command runs."""

from cbam_viz.cli.group import cli, main

__all__ = ["cli", "main"]
