"""Networks: building them with CBAM, reading checkpoints safely, inserting CBAM, counting cost.

Importing this package makes `import timm` work beside any build of torch (see `_compat`).
"""

from cbam_viz._compat import ensure_torchvision

ensure_torchvision()

from cbam_viz.models.create import create_model  # noqa: E402
from cbam_viz.models.families import CbamFamily, cbam_families  # noqa: E402

__all__ = [
    "CbamFamily",
    "cbam_families",
    "create_model",
]
