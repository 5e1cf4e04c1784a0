"""What this package takes from beneath the public face of `cbam_viz.gates`, in one place."""

from cbam_viz.gates import capture
from cbam_viz.gates.layout.inputs import tensors_in
from cbam_viz.gates.layout.operators import ASKING, base
from cbam_viz.gates.model.aside import unseen
from cbam_viz.gates.model.hooks import Hooks
from cbam_viz.gates.model.restore import (
    Buffers,
    State,
    allow_compiled,
    altered,
    calm,
    force_eager,
    is_compiled,
    train_lock,
)
from cbam_viz.gates.plan.signature import settled, signature_of
from cbam_viz.gates.plan.table import Table, table_of
from cbam_viz.gates.watch.limits import demand_plain
from cbam_viz.gates.watch.operands import reduced
from cbam_viz.gates.watch.operations import in_parts

__all__ = [
    "ASKING",
    "Buffers",
    "Hooks",
    "State",
    "Table",
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
    "settled",
    "signature_of",
    "table_of",
    "tensors_in",
    "train_lock",
    "unseen",
]
