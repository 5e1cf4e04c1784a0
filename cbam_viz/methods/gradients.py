"""Methods of torchcam 0.5, on a bench: Grad-CAM, Grad-CAM++, LayerCAM, Score-CAM.

Their maps are raw: `normalized=True` would bring a constant map to 0 and noise to 0..1. torchcam
sums with `nansum`, so that values that are no numbers are looked for here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cbam_viz.attention import Cells
from cbam_viz.errors import MethodError
from cbam_viz.images import Geometry
from cbam_viz.methods.bench import Bench
from cbam_viz.render import place

Values = npt.NDArray[np.float32]


def gradient_maps(bench: Bench, x: Tensor, method: str) -> list[Values]:
    """Maps (h, w) of all places of a bench, by one forward and one backward from there on.

    Raises:
        MethodError: the score does not depend on a layer, or features or gradients are no numbers.
    """
    with _extractor(method)(bench, bench.names()) as cam, torch.enable_grad():
        scores = bench(x)
        try:
            maps = cam(0, scores, normalized=False)
        except RuntimeError as error:
            if "connected" not in str(error):
                raise
            names = ", ".join(one.name for one in bench.places)
            # torchcam says so of whatever torch.autograd.grad refuses.
            if "inplace operation" in str(error.__cause__):
                why = "the network overwrites what its gradient needs (an in-place operation)"
            else:
                why = "it does not depend on the layer, or by something that has no gradient"
            raise MethodError(f"No gradient of the score reaches {names}: {why}.") from error
        for k, one in enumerate(bench.places):
            demand_numbers(one.what, cam.hook_a[k], cam.hook_g[k], maps[k])
    return [as_array(one[0]) for one in maps]


def score_cam(bench: Bench, x: Tensor, cells: Cells, chunk: int) -> Values:
    """Score-CAM (h, w) of the bench's only place: a forward for each channel, `chunk` together.

    Each channel's mask is put on the input where its cells lie, not stretched over it.
    """
    from torchcam.methods import ScoreCAM

    geometry = Geometry.of_input((int(x.shape[2]), int(x.shape[3])))

    class Placed(ScoreCAM):
        def _upsample(self, activation: Tensor) -> Tensor:
            masks = activation.flatten(0, 1).cpu().numpy()
            placed = np.stack([place(one, cells, geometry).values for one in masks])
            shape = (*activation.shape[:2], *placed.shape[1:])
            return torch.from_numpy(placed).to(activation).view(shape)

    with Placed(bench, "spots.0", batch_size=chunk) as cam, torch.no_grad():
        bench(x)
        demand_numbers(bench.places[0].what, cam.hook_a[0])
        with bench.unseen(cam.hook_a[0].shape[1] + 1):
            maps = cam(0, normalized=False)
    return as_array(maps[0][0])


def as_array(values: Tensor) -> Values:
    """A map as a float32 array of its own."""
    return np.array(values.detach().float().cpu().numpy())


def demand_numbers(what: str, *tensors: Tensor) -> None:
    """Raises MethodError where a value is no finite number."""
    for tensor, kind in zip(tensors, ("values", "gradients", "results"), strict=False):
        bad = int((~tensor.isfinite()).sum())
        if bad:
            raise MethodError(
                f"{bad:,} of {tensor.numel():,} {kind} of {what} are no finite numbers, so that a "
                "map of them would say nothing."
            )


def _extractor(method: str) -> Any:
    from torchcam import methods

    class GradCAMpp(methods.GradCAMpp):
        """With the division by the denominator, which torchcam 0.5 does on a copy and loses."""

        def _get_weights(
            self, class_idx: Any, scores: Any, eps: float = 0.0, **kwargs: Any
        ) -> list[Tensor]:
            self._backprop(scores, class_idx, **kwargs)
            return [
                (_alpha(features, gradient) * gradient.relu()).sum((2, 3))
                for features, gradient in zip(self.hook_a, self.hook_g, strict=True)
            ]

    return {"gradcam": methods.GradCAM, "gradcam++": GradCAMpp, "layercam": methods.LayerCAM}[
        method
    ]


def _alpha(features: Tensor, gradient: Tensor) -> Tensor:
    """Chattopadhay et al., "Grad-CAM++", WACV 2018, eq. 19, for the exponential of the score.

    g^2 / (2 g^2 + sum(A) g^3), less the common factor, whose powers vanish in single precision; 0
    where the gradient g is.
    """
    total = features.sum((2, 3), keepdim=True)
    return torch.where(gradient == 0, 0.0, 1 / (2 + total * gradient))
