"""Networks: building them with CBAM, reading checkpoints safely, inserting CBAM."""

from cbam_viz._compat import ensure_torchvision

ensure_torchvision()

from cbam_viz.models.convert import Conversion, convert_checkpoint  # noqa: E402
from cbam_viz.models.create import create_model  # noqa: E402
from cbam_viz.models.families import CbamFamily, cbam_families  # noqa: E402
from cbam_viz.models.insert import insert_cbam  # noqa: E402
from cbam_viz.models.load import load_model  # noqa: E402
from cbam_viz.models.loaded import (  # noqa: E402
    LoadedModel,
    LoadReport,
    imagenet_classes,
    input_spec,
    wrap_model,
)
from cbam_viz.models.metadata import (  # noqa: E402
    CheckpointEntry,
    default_checkpoint,
    list_checkpoints,
)
from cbam_viz.models.own import load_own_model  # noqa: E402
from cbam_viz.models.save import save_model  # noqa: E402

__all__ = [
    "CbamFamily",
    "CheckpointEntry",
    "Conversion",
    "LoadReport",
    "LoadedModel",
    "cbam_families",
    "convert_checkpoint",
    "create_model",
    "default_checkpoint",
    "imagenet_classes",
    "input_spec",
    "insert_cbam",
    "list_checkpoints",
    "load_model",
    "load_own_model",
    "save_model",
    "wrap_model",
]
