"""Which timm families take an attention layer in their blocks, and through which argument.

timm has no common argument for it: each family names its own, and some fix it inside the function
that builds the network. This table is the one place that knows; `cbam_viz.create_model` reads it,
a test builds every row, and the README's table is printed from it.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import timm
from torch import nn

from cbam_viz._text import quoted
from cbam_viz.errors import ModelError

Hook = Literal["block_args", "se_layer", "attn", "attn_layer", "stages", "swap"]
"""How a family takes attention.

- `block_args`: `block_args=dict(attn_layer=...)`
- `se_layer`, `attn`, `attn_layer`: an argument of that name
- `stages`: the `attn_layer` field of the family's stage configuration
- `swap`: the family builds its squeeze-and-excitation itself; CBAM takes its place afterwards
"""


@dataclass(frozen=True)
class CbamFamily:
    """One row of the table: a module of timm whose networks take CBAM in their blocks."""

    module: str
    """Name of the module in `timm.models`."""
    title: str
    """The networks in it, in words."""
    hook: Hook
    example: str
    """A small network of the family."""
    layers: int
    """How many CBAM layers `create_model(example)` has."""


_FAMILIES = (
    CbamFamily("resnet", "ResNet, ResNeXt, SE-ResNet, ECA-ResNet, Wide ResNet, ResNet-RS",
               "block_args", "resnet18", 8),
    CbamFamily("sknet", "SK-ResNet", "block_args", "skresnet18", 8),
    CbamFamily("res2net", "Res2Net, Res2NeXt", "block_args", "res2net50_14w_8s", 16),
    CbamFamily("efficientnet", "EfficientNet, EfficientNetV2, MixNet, SE-MNASNet, TinyNet",
               "se_layer", "efficientnet_b0", 16),
    CbamFamily("vovnet", "VoVNet, ESE-VoVNet", "attn", "ese_vovnet19b_dw", 4),
    CbamFamily("nfnet", "NFNet, NF-ResNet, NF-RegNet", "attn_layer", "nf_resnet26", 8),
    CbamFamily("byobnet", "GENet, RepVGG, MobileOne, RegNetZ, CLIP ResNet", "attn_layer",
               "gernet_s", 14),
    CbamFamily("byoanet", "BoTNet, HaloNet, LambdaResNet (their convolution blocks)", "attn_layer",
               "halonet26t", 5),
    CbamFamily("mobilevit", "MobileViT (its convolution blocks)", "attn_layer", "mobilevitv2_050",
               6),
    CbamFamily("cspnet", "CSPResNet, CSPDarkNet, DarkNet, CS3", "stages", "cspresnet50", 13),
    CbamFamily("regnet", "RegNetY", "swap", "regnety_002", 13),
    CbamFamily("mobilenetv3", "MobileNetV3, LCNet, FBNetV3", "swap", "mobilenetv3_small_100", 9),
    CbamFamily("hardcorenas", "HardCoRe-NAS", "swap", "hardcorenas_a", 8),
    CbamFamily("ghostnet", "GhostNet", "swap", "ghostnet_100", 7),
    CbamFamily("repghost", "RepGhostNet", "swap", "repghostnet_050", 7),
    CbamFamily("rexnet", "ReXNet", "swap", "rexnet_100", 13),
    CbamFamily("tresnet", "TResNet", "swap", "tresnet_m", 18),
    CbamFamily("senet", "SENet and SE-ResNet in their older form", "swap", "legacy_seresnet18", 8),
    CbamFamily("hgnet", "HGNet", "swap", "hgnet_tiny", 5),
    CbamFamily("repvit", "RepViT", "swap", "repvit_m1", 10),
    CbamFamily("cspnext", "CSPNeXt", "swap", "cspnext_tiny", 4),
    CbamFamily("lcnetv2", "PP-LCNetV2", "swap", "lcnetv2_small", 4),
    CbamFamily("maxxvit", "CoAtNet, MaxViT (their MBConv blocks)", "swap", "coatnet_0_224", 5),
    CbamFamily("rdnet", "RDNet", "swap", "rdnet_tiny", 15),
)  # fmt: skip

_SQUEEZE_EXCITE = (
    ("timm.layers", "SEModule"),
    ("timm.layers", "EffectiveSEModule"),
    ("timm.layers", "GlobalContext"),
    ("timm.models._efficientnet_blocks", "SqueezeExcite"),
    ("timm.models.senet", "SEModule"),
    ("timm.models.hgnet", "EseModule"),
)
"""Channel gates that CBAM can stand in for: (B, C, H, W) in, the same out."""

_SELECTIVE_KERNEL = {
    "skresnet18": {"rd_ratio": 1 / 8, "rd_divisor": 16, "split_input": True},
    "skresnet34": {"rd_ratio": 1 / 8, "rd_divisor": 16, "split_input": True},
    "skresnet50": {"split_input": True},
    "skresnet50d": {"split_input": True},
    "skresnext50_32x4d": {"rd_ratio": 1 / 16, "rd_divisor": 32, "split_input": False},
}
"""timm gives these through `block_args` too, so our `block_args` must repeat them."""


def cbam_families() -> tuple[CbamFamily, ...]:
    """Return the timm families that `create_model` puts CBAM into."""
    return _FAMILIES


def known_architecture(name: str) -> str:
    """Return timm's architecture name of `name` (its weight tag, if any, removed).

    Raises:
        ModelError: timm has no such network; the text names near ones.
    """
    architecture = name.partition(".")[0]
    if timm.is_model(architecture):
        return architecture
    near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.5)
    hint = f" Did you mean {_in_words(near)}?" if near else ""
    raise ModelError(
        f"timm has no network named {quoted(name)}.{hint} timm.list_models() lists all of them."
    )


def hook_of(architecture: str) -> Hook:
    """Return how the family of `architecture` takes attention; `swap` for one not in the table."""
    module = timm.model_entrypoint(architecture).__module__.rpartition(".")[2]
    return next((family.hook for family in _FAMILIES if family.module == module), "swap")


def hook_arguments(architecture: str, hook: Hook, layer: Any, given: Mapping[str, Any]) -> Any:
    """Return timm's keyword arguments that put `layer` into the blocks of `architecture`.

    `given` are the user's own keyword arguments; a `block_args` among them is kept and completed.
    """
    if hook == "block_args":
        own = {"sk_kwargs": _SELECTIVE_KERNEL[architecture]} if (
            architecture in _SELECTIVE_KERNEL
        ) else {}  # fmt: skip
        return {"block_args": {**own, **given.get("block_args", {}), "attn_layer": layer}}
    if hook == "stages":
        configuration = importlib.import_module("timm.models.cspnet").model_cfgs[architecture]
        return {"stages": dataclasses.replace(configuration.stages, attn_layer=layer)}
    return {} if hook == "swap" else {hook: layer}


def squeeze_excite_classes() -> tuple[type[nn.Module], ...]:
    """Return timm's channel gate classes that `swap` replaces."""
    found = (
        getattr(importlib.import_module(module), name, None) for module, name in _SQUEEZE_EXCITE
    )
    return tuple(cls for cls in found if isinstance(cls, type))


def near_cbam_names(architecture: str) -> list[str]:
    """Return up to three networks with names like `architecture` in families that take CBAM."""
    candidates = [name for family in _FAMILIES for name in timm.list_models(module=family.module)]
    candidates = [name for name in candidates if name != architecture]
    near = difflib.get_close_matches(architecture, candidates, n=6, cutoff=0.45)
    return near or ["resnet50", "efficientnet_b0", "regnety_016"]


def _in_words(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
