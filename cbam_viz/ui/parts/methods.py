"""Which other methods pages offer, and of which parts of a network."""

from __future__ import annotations

from cbam_viz.models import LoadedModel
from cbam_viz.models.loaded import feature_entries

SLOW = ("scorecam",)
"""Methods that take as many forwards as a layer has channels: half a minute and more."""


def offered(*, counted: bool = False) -> dict[str, str]:
    """Names and titles of the methods that can be chosen; `counted`: the page shows how far one is.

    Elsewhere a visitor would wait without knowing for what, so that slow ones are left out; the
    command line has them.
    """
    from cbam_viz.methods import METHODS, is_installed

    return {
        one.name: one.title
        for one in METHODS.values()
        if (counted or one.name not in SLOW) and is_installed(one.name)
    }


def stages(loaded: LoadedModel) -> list[str]:
    """The modules whose outputs are a network's stages, as timm counts them; often none."""
    modules = {name for name, _ in loaded.model.named_modules()}
    names = [str(entry.get("module", "")) for entry in feature_entries(loaded.model)]
    return [name for name in names if name and name in modules]
