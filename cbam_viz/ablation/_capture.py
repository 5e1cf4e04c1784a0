"""What this package takes from beneath the public face of `cbam_viz.capture`, in one place."""

from cbam_viz.capture import capture
from cbam_viz.capture.hooks import Hooks
from cbam_viz.capture.limits import demand_plain
from cbam_viz.capture.operators import ASKING, base
from cbam_viz.capture.state import (
    Buffers,
    State,
    allow_compiled,
    altered,
    calm,
    force_eager,
    is_compiled,
    train_lock,
    unseen,
)
from cbam_viz.capture.structure import tensors_in
from cbam_viz.capture.table import signature_of, table_of
from cbam_viz.capture.trace import in_parts
from cbam_viz.capture.varying import reduced

__all__ = [
    "ASKING",
    "Buffers",
    "Hooks",
    "State",
    "allow_compiled",
    "altered",
    "base",
    "calm",
    "capture",
    "demand_plain",
    "force_eager",
    "in_parts",
    "is_compiled",
    "reduced",
    "signature_of",
    "table_of",
    "tensors_in",
    "train_lock",
    "unseen",
]
