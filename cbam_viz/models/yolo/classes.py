"""The classes of torch and ultralytics whose code may run on what a file says of them.

A name of a file means a class only if it stands here. Left out is whatever takes texts or functions
and runs them, makes other networks, needs an input beside the picture or was made for training.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from cbam_viz.models.yolo.package import ultralytics_module

_OF_TORCH = frozenset(
    """
    Conv1d Conv2d ConvTranspose2d Linear Embedding Identity Sequential ModuleList ModuleDict
    BatchNorm1d BatchNorm2d SyncBatchNorm GroupNorm LayerNorm InstanceNorm2d
    ReLU ReLU6 LeakyReLU PReLU ELU CELU SELU GELU GLU SiLU Mish Hardswish Hardsigmoid Hardtanh
    Sigmoid LogSigmoid Softplus Softsign Softshrink Hardshrink Tanhshrink Tanh Softmax Softmax2d
    Softmin Threshold
    MaxPool2d AvgPool2d AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d AdaptiveMaxPool2d
    Upsample UpsamplingNearest2d UpsamplingBilinear2d PixelShuffle PixelUnshuffle ChannelShuffle
    ZeroPad2d ConstantPad2d ReflectionPad2d ReplicationPad2d Flatten Unflatten
    Dropout Dropout1d Dropout2d Dropout3d AlphaDropout MultiheadAttention
    """.split()  # noqa: SIM905
)
_OF_ULTRALYTICS = {
    "activation": "AGLU",
    "conv": "Conv Conv2 LightConv DWConv DWConvTranspose2d ConvTranspose Focus GhostConv RepConv "
    "ChannelAttention SpatialAttention CBAM Concat Index",
    "block": "DFL Proto Proto26 HGStem HGBlock SPP SPPF C1 C2 C2f C3 C3x RepC3 C3TR C3Ghost "
    "GhostBottleneck Bottleneck BottleneckCSP ResNetBlock ResNetLayer RepBottleneck RepCSP "
    "RepNCSPELAN4 ELAN1 AConv ADown SPPELAN CBLinear CBFuse C3f C3k2 C3k RepVGGDW CIB C2fCIB "
    "Attention PSABlock PSA C2PSA C2fPSA SCDown AAttn ABlock A2C2f RealNVP C2fAttn "
    "MaxSigmoidAttnBlock ImagePoolingAttn ContrastiveHead BNContrastiveHead Residual SwiGLUFFN "
    "SAVPE",
    "head": "Detect Segment Segment26 OBB OBB26 Pose Pose26 Classify v10Detect SemanticSegment "
    "RTDETRDecoder Depth WorldDetect YOLOEDetect YOLOESegment YOLOESegment26 LRPCHead",
    "transformer": "TransformerEncoderLayer AIFI TransformerLayer TransformerBlock MLPBlock MLP "
    "LayerNorm2d MSDeformAttn DeformableTransformerDecoderLayer DeformableTransformerDecoder",
}
"""By their module in `ultralytics.nn.modules`; an installed version may lack some."""
_MODULES = "ultralytics.nn.modules"
_NETWORKS = frozenset(
    """
    DetectionModel SegmentationModel PoseModel OBBModel ClassificationModel RTDETRDetectionModel
    SemanticSegmentationModel DepthModel WorldModel YOLOEModel YOLOESegModel
    """.split()  # noqa: SIM905
)
_TASKS = "ultralytics.nn.tasks"

_NO_ATTRIBUTES = frozenset(
    {"export", "format", "dynamic", "shape", "anchors", "strides", "training", "forward"}
)
"""Of the class: what an export or an earlier forward has set says nothing of the weights."""


@functools.lru_cache(maxsize=512)
def class_named(name: str) -> type[nn.Module] | None:
    """Return the class that a file's name means; None if it is not allowed, or not there."""
    module, _, leaf = name.rpartition(".")
    if module.startswith("torch.nn.modules."):
        if leaf == "NonDynamicallyQuantizableLinear":
            return NonDynamicallyQuantizableLinear
        found = getattr(nn, leaf) if leaf in _OF_TORCH else None
        return found if found is not None and found.__module__ == module else None
    if module == _TASKS:
        return getattr(ultralytics_module("nn.tasks"), leaf, None) if leaf in _NETWORKS else None
    for room, names in _OF_ULTRALYTICS.items():
        # The first versions had all of them in one file.
        if module in (f"{_MODULES}.{room}", _MODULES) and leaf in names.split():
            return getattr(ultralytics_module(f"nn.modules.{room}"), leaf, None)
    return None


def is_network_class(kind: type[nn.Module]) -> bool:
    """Whether it is a whole network, which no other may have as a part."""
    return kind.__module__ == _TASKS


@functools.cache
def attributes_of(kind: Any) -> frozenset[str]:
    """Return which attributes an object of the class may have: those that its own code mentions.

    Nothing that the class defines as a function or property is among them, and nothing of
    `nn.Module` itself.
    """
    mentioned: set[str] = set()
    for base in kind.__mro__:
        if base in (nn.Module, object):
            continue
        mentioned |= set(getattr(base, "__constants__", ()))
        mentioned |= set(inspect.get_annotations(base))
        for member in vars(base).values():
            for function in _functions(member):
                mentioned |= _mentioned(function.__code__)
    own = {name for name in mentioned if not _is_code(kind, name)}
    return frozenset(own - set(dir(nn.Module)) - set(vars(nn.Module())) - _NO_ATTRIBUTES)


def _is_code(kind: type, name: str) -> bool:
    """Whether the class has a function, a property or another class under the name."""
    for base in kind.__mro__:
        if name in vars(base):
            member = vars(base)[name]
            return callable(member) or hasattr(type(member), "__get__")
    return False


def _functions(member: Any) -> Iterator[FunctionType]:
    inner = (getattr(member, name, None) for name in ("__func__", "fget", "fset", "__wrapped__"))
    yield from (one for one in (member, *inner) if isinstance(one, FunctionType))


def _mentioned(code: CodeType) -> set[str]:
    """All names in a function and those within it, as attributes and as texts."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _mentioned(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            names.add(constant)
    return names
