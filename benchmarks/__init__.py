"""Ratios that say what cbam-viz costs; `python -m benchmarks` runs them all."""

from cbam_viz._compat import ensure_torchvision

ensure_torchvision()  # before any module here imports timm
