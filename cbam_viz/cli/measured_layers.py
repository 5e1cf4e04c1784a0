"""Which layers `cbam-viz evaluate` measures: their gates, and those that methods make maps of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cbam_viz._text import few, nearest
from cbam_viz.cli.report import choose_layers

if TYPE_CHECKING:
    from cbam_viz.analysis import Analysis
    from cbam_viz.models import LoadedModel


def measured_layers(
    analysis: Analysis,
    loaded: LoadedModel,
    names: Sequence[str],
    methods: Sequence[str],
    *,
    gate: str,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The layers whose gates are measured, those of the methods, and the methods.

    Raises:
        click.UsageError: there is no such layer, or nothing is left to be measured.
    """
    from cbam_viz.models.loaded import feature_entries
    from cbam_viz.statistics import layer_to_show

    attention = analysis.attention
    mapped = [layer for layer in analysis.layers if layer.spatial is not None]
    others = tuple(one for one in methods if one != gate) if methods else ("gradcam",)
    modules = dict.fromkeys(name for name, _ in loaded.model.named_modules() if name)
    chosen: list[str] = []
    for name in names:
        if name in modules and name not in attention:
            chosen.append(name)
        elif attention:
            chosen += [layer.name for layer in choose_layers(attention, [name])]
        else:
            raise click.UsageError(
                f"The network has no gates and no module {name!r}; near names are "
                f"{few(nearest(sorted(modules), name))}."
            )
    if not names:
        stages = [str(entry.get("module", "")) for entry in feature_entries(loaded.model)]
        if mapped:
            chosen = [layer_to_show(mapped, geometry=analysis.geometry).name]
        elif stages and stages[-1] in modules:
            chosen = [stages[-1]]
        elif set(others) - {"occlusion", "whole"}:
            some = _giving_maps(analysis, loaded)
            lacks = "layer with a spatial map" if attention else "gates"
            raise click.UsageError(
                f"The network has no {lacks}, and nothing says which layer to take: give a module "
                f"that gives feature maps by --layer{', such as ' if some else ''}{few(some)}."
            )
    with_maps = {layer.name for layer in mapped}
    gates = tuple(name for name in chosen if name in with_maps and (not methods or gate in methods))
    if gate in methods and not gates:
        raise click.UsageError("None of these layers has a spatial map to measure.")
    return gates, tuple(dict.fromkeys(chosen)), others


def _giving_maps(analysis: Analysis, loaded: LoadedModel) -> list[str]:
    """Modules whose output on the photo is feature maps, the last to run first.

    Of these the outermost: the parts of the network, or the parts of one of them, as of a YOLO.
    """
    import torch

    from cbam_viz.models.feed import as_weights, inputs_of, running

    ran: dict[str, None] = {}

    def keeping(name: str) -> Any:
        def keep(module: Any, args: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4 and max(output.shape[2:]) > 1:
                ran[name] = None

        return keep

    view = analysis.geometry.view
    inputs = as_weights(loaded.model, inputs_of(loaded, analysis.photo, view)[1])
    named = [(name, part) for name, part in loaded.model.named_modules() if name]
    hooks = [part.register_forward_hook(keeping(name)) for name, part in named]
    try:
        with running(loaded, inputs, view):
            loaded.model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    depth = min((name.count(".") for name in ran), default=0)
    return [name for name in ran if name.count(".") == depth][::-1]
