"""Ratios that say what cbam-viz costs; `python -m benchmarks` runs them all."""
