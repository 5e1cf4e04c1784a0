"""What to install where a command needs a package that is not there."""

from __future__ import annotations

EXTRAS = {
    "figures": ("matplotlib", "tueplots", "pypdfium2"),
    "methods": ("torchcam",),
    "batch": ("pyarrow", "scipy"),
    "scans": ("pydicom", "nibabel"),
    "yolo": ("ultralytics",),
    "ray": ("ray",),
    "app": ("streamlit",),
}
"""The packages that each extra brings, which are imported by the names of their distributions."""


def not_installed(error: ModuleNotFoundError) -> str | None:
    """A sentence on the extra that brings what is missing; None if none does."""
    package = (error.name or "").partition(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
    if extra is None:
        return None
    return f'This needs {package}, which is not installed: pip install "cbam-viz[{extra}]".'
