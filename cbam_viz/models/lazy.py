"""Layers whose weights are made by a first input, such as `LazyLinear`."""

from __future__ import annotations

import torch

from cbam_viz._foreign import kept_apart, place_of
from cbam_viz._text import named
from cbam_viz.errors import ModelError
from cbam_viz.models.channels import has_lazy_weights, takes_inputs
from cbam_viz.models.loaded import LoadedModel
from cbam_viz.models.seeded import seeded


def make_weights(loaded: LoadedModel) -> None:
    """Show a network of such layers an empty input, so that they are there, the same at every run.

    Of its own transform nothing is known yet but that it makes the input, so then it is left.

    Raises:
        ModelError: the forward fails.
    """
    if loaded.transform is not None or not has_lazy_weights(loaded.model):
        return
    empty = torch.zeros(1, loaded.spec.channels, *loaded.spec.size, device="cpu")
    try:
        with seeded(), kept_apart(loaded.surroundings), torch.no_grad():
            loaded.model(*[empty.float()] * takes_inputs(loaded.model))
    except (Exception, SystemExit) as error:
        height, width = loaded.spec.size
        raise ModelError(
            f"{loaded.name} has layers that make their weights of the first input, and fails on "
            f"an empty one of {width} x {height} pixels: {named(error)}.{place_of(error)} Say its "
            "size and channels by --input and --channels, or let your code show it one."
        ) from error
