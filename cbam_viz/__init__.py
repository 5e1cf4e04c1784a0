"""See what a CBAM network attends to: exact channel weights and spatial maps of every layer.

    import cbam_viz

    model = cbam_viz.create_model("resnet18", checkpoint="my_network.safetensors")
    attention = cbam_viz.capture(model, images)          # images: (B, 3, H, W)
    attention["layer1.0.se"].channel                     # M_c, (B, C)
    attention["layer1.0.se"].spatial                     # M_s, (B, h, w)

Every name below is imported on first use (PEP 562), so `import cbam_viz` loads neither torch nor
matplotlib nor Streamlit. It does see to it that torchvision, which timm needs, can be imported
beside a CPU build of torch (see `_compat`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cbam_viz._compat import repair_torchvision
from cbam_viz.attention import show_in_notebooks
from cbam_viz.errors import (
    CaptureError,
    CbamVizError,
    CheckpointError,
    FigureError,
    ImageError,
    LabelsError,
    LimitError,
    MethodError,
    MetricError,
    ModelError,
    NoAttentionError,
    NoClassScoresError,
    PlainCheckpointError,
    RenderError,
    StoreError,
)

if TYPE_CHECKING:
    from cbam_viz import ablation as ablation
    from cbam_viz import batch as batch
    from cbam_viz import charts as charts
    from cbam_viz import comparison as comparison
    from cbam_viz import dataset as dataset
    from cbam_viz import detections as detections
    from cbam_viz import detectors as detectors
    from cbam_viz import evaluation as evaluation
    from cbam_viz import figures as figures
    from cbam_viz import gates as gates
    from cbam_viz import images as images
    from cbam_viz import methods as methods
    from cbam_viz import metrics as metrics
    from cbam_viz import models as models
    from cbam_viz import render as render
    from cbam_viz import runs as runs
    from cbam_viz import shares as shares
    from cbam_viz import statistics as statistics
    from cbam_viz import steps as steps
    from cbam_viz import store as store
    from cbam_viz.ablation import (
        Effects,
        GateMeans,
        ablate,
        channel_importance,
        effects,
        gate_means,
        gate_variance,
    )
    from cbam_viz.analysis import Analysis, analyse, analyse_tensor
    from cbam_viz.attention import (
        Attention,
        Cells,
        ChannelBranches,
        LayerAttention,
        LayerFeatures,
        SpatialDescriptors,
        Unsupported,
    )
    from cbam_viz.comparison import Comparison, compare
    from cbam_viz.costs import ModelCost, cost
    from cbam_viz.detections import Detections
    from cbam_viz.gates import Capture as capturing  # noqa: N813
    from cbam_viz.gates import capture, find_cbam_layers
    from cbam_viz.images import Geometry, InputSpec, Photo, prepare, read_photo, samples
    from cbam_viz.models import (
        LoadedModel,
        LoadReport,
        convert_checkpoint,
        create_model,
        default_checkpoint,
        input_spec,
        insert_cbam,
        list_checkpoints,
        load_model,
        save_model,
        wrap_model,
    )
    from cbam_viz.runs import log_gates
    from cbam_viz.statistics import LayerStatistics, layer_statistics
    from cbam_viz.store import load_npz, save_npz

__version__ = "0.1.0"

__all__ = [
    "Analysis",
    "Attention",
    "CaptureError",
    "CbamVizError",
    "Cells",
    "ChannelBranches",
    "CheckpointError",
    "Comparison",
    "Detections",
    "Effects",
    "FigureError",
    "GateMeans",
    "Geometry",
    "ImageError",
    "InputSpec",
    "LabelsError",
    "LayerAttention",
    "LayerFeatures",
    "LayerStatistics",
    "LimitError",
    "LoadReport",
    "LoadedModel",
    "MethodError",
    "MetricError",
    "ModelCost",
    "ModelError",
    "NoAttentionError",
    "NoClassScoresError",
    "Photo",
    "PlainCheckpointError",
    "RenderError",
    "SpatialDescriptors",
    "StoreError",
    "Unsupported",
    "ablate",
    "analyse",
    "analyse_tensor",
    "capture",
    "capturing",
    "channel_importance",
    "compare",
    "convert_checkpoint",
    "cost",
    "create_model",
    "default_checkpoint",
    "effects",
    "find_cbam_layers",
    "gate_means",
    "gate_variance",
    "input_spec",
    "insert_cbam",
    "layer_statistics",
    "list_checkpoints",
    "load_model",
    "load_npz",
    "log_gates",
    "prepare",
    "read_photo",
    "samples",
    "save_model",
    "save_npz",
    "wrap_model",
]

_HOMES = {
    "cbam_viz.ablation": (
        "Effects",
        "GateMeans",
        "ablate",
        "channel_importance",
        "effects",
        "gate_means",
        "gate_variance",
    ),
    "cbam_viz.analysis": ("Analysis", "analyse", "analyse_tensor"),
    "cbam_viz.comparison": ("Comparison", "compare"),
    "cbam_viz.attention": (
        "Attention",
        "Cells",
        "ChannelBranches",
        "LayerAttention",
        "LayerFeatures",
        "SpatialDescriptors",
        "Unsupported",
    ),
    "cbam_viz.gates": ("capture", "find_cbam_layers"),
    "cbam_viz.costs": ("ModelCost", "cost"),
    "cbam_viz.detections": ("Detections",),
    "cbam_viz.images": ("Geometry", "InputSpec", "Photo", "prepare", "read_photo", "samples"),
    "cbam_viz.models": (
        "LoadReport",
        "LoadedModel",
        "convert_checkpoint",
        "create_model",
        "default_checkpoint",
        "input_spec",
        "insert_cbam",
        "list_checkpoints",
        "load_model",
        "save_model",
        "wrap_model",
    ),
    "cbam_viz.runs": ("log_gates",),
    "cbam_viz.statistics": ("LayerStatistics", "layer_statistics"),
    "cbam_viz.store": ("load_npz", "save_npz"),
}
_LAZY = {name: (home, name) for home, names in _HOMES.items() for name in names}
_LAZY["capturing"] = ("cbam_viz.gates", "Capture")
_SUBMODULES = (
    "ablation",
    "batch",
    "charts",
    "comparison",
    "dataset",
    "detections",
    "detectors",
    "evaluation",
    "figures",
    "gates",
    "images",
    "methods",
    "metrics",
    "models",
    "render",
    "runs",
    "shares",
    "statistics",
    "steps",
    "store",
)
"""Reachable as `cbam_viz.figures` and so on without an import statement of their own."""


if not TYPE_CHECKING:  # or type checkers would take any misspelt name for one of Any

    def __getattr__(name: str) -> Any:
        if name in _SUBMODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, original = _LAZY[name]
        value = getattr(importlib.import_module(home), original)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})


repair_torchvision()


def _html(result: Attention | Analysis) -> str:
    html: str = importlib.import_module("cbam_viz.notebook").html(result)
    return html


show_in_notebooks(_html)
