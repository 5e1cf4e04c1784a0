"""Maps that other methods make of the same network, layer and photo, beside the gates."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from cbam_viz._text import quoted, said
from cbam_viz.attention import Attention, Cells
from cbam_viz.detectors import read_detections
from cbam_viz.errors import CbamVizError, MethodError
from cbam_viz.images import DEFAULT_VIEW, Photo, View
from cbam_viz.methods.bench import Bench, Place, Progress, captured, cells_at, places_of
from cbam_viz.methods.boxes import FOLLOWED, BoxScore, place_of
from cbam_viz.methods.gradients import Values, gradient_maps, score_cam
from cbam_viz.methods.own import CHUNK, Sweep, eigen_cams, occlusion
from cbam_viz.methods.replica import replica
from cbam_viz.methods.targets import Target, Wish, target_of
from cbam_viz.methods.whole import whole_map
from cbam_viz.models import LoadedModel, wrap_model
from cbam_viz.models.feed import as_weights, inputs_of
from cbam_viz.wrappers import unwrap

NO_CLASS = (
    "CBAM's gates do not depend on a class: they are computed from the features alone, before the "
    "network decides. A class-targeted map says where the evidence for one class lies, so the two "
    "may differ without either being wrong."
)
INSTALL = (
    '{} is made with torchcam, which is not installed: pip install "cbam-viz[methods]" (it needs '
    "Python 3.11 or later)."
)


@dataclass(frozen=True)
class Method:
    """A way to make a map."""

    name: str
    """What it is asked for by."""
    title: str
    source: str
    of_class: bool = True
    """False if the map is the same whatever the class."""
    of_layer: bool = True
    """False if it looks at the input and the score alone."""
    by_torchcam: bool = True
    nonnegative: bool = True
    """True if its values are never below 0."""
    cost: str = "one forward and one backward"
    """What it takes, in words."""
    sweeps: bool = False
    """True if that is many forwards, of changed inputs."""
    of_gates: bool = False
    """True if it is made of the network's gates alone."""
    note: str = ""
    """A sentence that belongs to every map of it."""


METHODS: dict[str, Method] = {
    one.name: one
    for one in (
        Method("gradcam", "Grad-CAM", "Selvaraju et al., ICCV 2017"),
        Method("gradcam++", "Grad-CAM++", "Chattopadhay et al., WACV 2018"),
        Method("layercam", "LayerCAM", "Jiang et al., IEEE TIP 2021"),
        Method(
            "eigencam",
            "EigenCAM",
            "Muhammad and Yeasin, IJCNN 2020",
            of_class=False,
            by_torchcam=False,
            nonnegative=False,
            cost="one forward",
        ),
        Method(
            "scorecam",
            "Score-CAM",
            "Wang et al., CVPR workshops 2020",
            cost="a forward for each channel",
            sweeps=True,
        ),
        Method(
            "occlusion",
            "Occlusion",
            "Zeiler and Fergus, ECCV 2014",
            of_layer=False,
            by_torchcam=False,
            nonnegative=False,
            cost="a forward for each window",
            sweeps=True,
        ),
        Method(
            "whole",
            "All spatial gates (heuristic)",
            "their product along the shortcuts",
            of_class=False,
            of_layer=False,
            by_torchcam=False,
            nonnegative=False,
            cost="one forward",
            of_gates=True,
            note="One map of all spatial gates is a heuristic: each shortcut is taken for as "
            "strong as the branch beside it, and convolutions for looking at one place.",
        ),
    )
}


@dataclass(frozen=True, eq=False)
class MethodMap:
    """What a method makes of one layer for one photo."""

    method: str
    """Its name in `METHODS`."""
    layer: str
    """Empty for a method that looks at no layer."""
    of: str
    """What it was made of, such as `the gated features of layer4.1.se`."""
    values: Values
    """(h, w) float32, raw: in the unit of the method, not brought to 0..1."""
    cells: Cells
    """Where the cells lie on the network's input: the layer's own."""
    target: int | None = None
    """The class; None for a box, a function of the output, or a method that knows no class."""
    box: int | None = None
    """The box of a detector, from 1, as they are listed."""
    target_name: str = ""
    """Empty for a method that knows no class."""
    score: float | None = None
    """What the network gives for the target; None where there is none."""
    score_kind: str = ""
    """`logit`, `probability`, `log-probability` or `score`; empty where there is none."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen, by name. Nothing is drawn at random."""
    forwards: int = 1
    """How many inputs went through the network for it, several at once or one by one."""

    @property
    def title(self) -> str:
        """Such as `Grad-CAM of layer4.1.se for tabby`."""
        of = f" of {self.layer}" if self.layer else ""
        target = f" for {self.target_name}" if self.score_kind else ""
        return f"{METHODS[self.method].title}{of}{target}"

    @property
    def is_flat(self) -> bool:
        """True if all values are the same, so that the map says nothing of any place."""
        return bool(self.values.min() == self.values.max())

    @property
    def span(self) -> tuple[float, float]:
        """The ends of its colours: 0 and its maximum, or its minimum where that is below 0.

        0 and 1 for a map of zeros, which then looks flat.
        """
        low, high = min(0.0, float(self.values.min())), max(0.0, float(self.values.max()))
        return (low, high) if low < high else (0.0, 1.0)


def is_installed(method: str) -> bool:
    """Whether what the method needs is there."""
    needs = METHODS[method].by_torchcam
    return not needs or importlib.util.find_spec("torchcam") is not None


def method_maps(
    model: nn.Module | LoadedModel,
    x: Tensor,
    layers: Sequence[str],
    methods: Sequence[str] = ("gradcam",),
    target: Wish = None,
    *,
    classes: Sequence[str] | None = None,
    attention: Attention | None = None,
    window: int | None = None,
    stride: int | None = None,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> tuple[MethodMap, ...]:
    """Maps of layers by other methods, for one input; methods first, layers within.

    The network is not touched, and other threads may use it meanwhile: all is done on a copy of its
    modules that shares its weights. The same input gives the same map. Methods that look at no
    layer give one map.

    Args:
        model: a network in eval mode; with its `decode`, for a box of a detector that is not known.
        x: its input, (1, C, H, W).
        layers: captured layers by name (their gated features are looked at), or modules and stages
            by path (`layer4`: their output).
        methods: names in `METHODS`.
        target: see `targets.Wish`; the predicted class by default.
        classes: names of the classes.
        attention: what `capture` gave for this very input, if that is at hand.
        window: of occlusion, in input pixels; an eighth of the shorter side by default.
        stride: of occlusion; half the window by default.
        chunk: changed inputs in one forward of Score-CAM and occlusion.
        progress: called between those, with how many are done and how many there are.

    Raises:
        MethodError: there is no such method, layer or class, the output has no class scores, the
            network is in train mode or fails, or values are no finite numbers.
    """
    _check(x, methods)
    loaded = model if isinstance(model, LoadedModel) else wrap_model(model, classes=classes)
    model = unwrap(loaded.model)
    x = as_weights(model, (x,))[0].detach()
    layered = any(METHODS[name].of_layer for name in methods)
    of_gates = any(METHODS[name].of_gates for name in methods)
    try:
        with torch.inference_mode(False), torch.no_grad():
            x = x.clone() if x.is_inference() else x
            if attention is None and (layered or of_gates):
                attention = captured(model, x)
            places = places_of(model, x, layers, attention) if layered else []
            bench = Bench(replica(model), places)
            bench.progress = progress
            cells = cells_at(bench, x)
            aim = None
            if any(METHODS[name].of_class for name in methods):
                output = model(x) if attention is None else attention.output
                aim = _aimed(loaded, bench.network, x, output, target)
                bench.score, bench.expected = aim.target.score, aim.score
                if aim.target.box is not None:
                    bench.swept, bench.watching = aim.target.box.swept, aim.target.box.watching
                    chunk = 1  # an output of one picture is what boxes are read from
            work = _Work(model, attention, bench, x, cells, aim, Sweep(window, stride, chunk))
            return tuple(one for name in methods for one in work.maps(METHODS[name]))
    except CbamVizError:
        raise
    except (Exception, SystemExit) as error:  # the network's own code
        raise MethodError(f"{type(model).__name__} fails: {said(error)}.") from error


def method_map(
    model: nn.Module | LoadedModel,
    x: Tensor,
    layer: str,
    method: str = "gradcam",
    target: Wish = None,
    **more: Any,
) -> MethodMap:
    """One map; arguments and errors are those of `method_maps`."""
    return method_maps(model, x, (layer,), (method,), target, **more)[0]


def photo_maps(
    loaded: LoadedModel,
    photo: Photo,
    layers: Sequence[str],
    methods: Sequence[str] = ("gradcam",),
    target: Wish = None,
    *,
    view: View = DEFAULT_VIEW,
    **more: Any,
) -> tuple[MethodMap, ...]:
    """The same for a photo, prepared as `analyse` prepares it."""
    (x,) = inputs_of(loaded, photo, view)[1]
    return method_maps(loaded, x, layers, methods, target, **more)


def _check(x: Tensor, methods: Sequence[str]) -> None:
    for name in methods:
        if name not in METHODS:
            raise MethodError(f"There is no method {quoted(name)}. Choose {', '.join(METHODS)}.")
        if not is_installed(name):
            raise MethodError(INSTALL.format(METHODS[name].title))
    if not isinstance(x, Tensor) or x.ndim != 4 or len(x) != 1 or min(x.shape) < 1:
        shape = tuple(getattr(x, "shape", ())) or type(x).__name__
        raise MethodError(f"Methods take the input of one photo, (1, C, H, W), not {shape}.")
    if not bool(x.isfinite().all()):
        raise MethodError("The input has values that are no finite numbers.")


@dataclass(frozen=True)
class _Aim:
    """A target, and what the network gives for it."""

    target: Target
    score: float


def _aimed(loaded: LoadedModel, network: nn.Module, x: Tensor, output: Any, wish: Wish) -> _Aim:
    """What is wished for in the network's output for this input; `network` is a private copy."""
    model = unwrap(loaded.model)

    def run() -> Any:
        with torch.inference_mode():  # there, operations come as the code calls them
            return model(x)

    try:
        target = target_of(wish, output, loaded.classes, model, run)
    except MethodError:
        size = (int(x.shape[2]), int(x.shape[3]))
        objects = None if callable(wish) else read_detections(loaded, output, size).detections
        if callable(wish) or objects is None:
            raise
        box = BoxScore(loaded, size, objects, place_of(wish, objects, loaded.name))
        score = box.trace(network, x)
        return _Aim(Target(None, box.name, box.kind, box, box), score)
    found = target.score(output)
    if found.numel() != 1 or not bool(found.isfinite().all()):
        what = "no finite number" if found.numel() == 1 else f"{found.numel()} numbers"
        raise MethodError(f"The target's score is {what} for this photo.")
    return _Aim(target, float(found))


@dataclass(frozen=True, eq=False)
class _Work:
    """What all methods need for one input."""

    model: nn.Module
    attention: Attention | None
    bench: Bench
    x: Tensor
    cells: Sequence[Cells]
    aim: _Aim | None
    sweep: Sweep

    def maps(self, method: Method) -> list[MethodMap]:
        """One method's maps of all places of the bench."""
        bench, x, cells, sweep = self.bench, self.x, self.cells, self.sweep
        before = bench.ran
        settings: dict[str, Any] = {}
        places: Sequence[Place] = bench.places
        if method.name == "occlusion":
            values, where, settings = occlusion(bench, x, sweep)
            found, cells, places = [values], [where], [Place("")]
        elif method.name == "whole":
            values, where, settings = whole_map(self.model, x, self.attention)
            found, cells, places = [values], [where], [Place("")]
        elif method.name == "eigencam":
            found = eigen_cams(bench, x)
        elif method.name == "scorecam":
            ones = [bench.only(k) for k in range(len(places))]
            found = [
                score_cam(one, x, at, sweep.chunk) for one, at in zip(ones, cells, strict=True)
            ]
            settings = {"weights": "softmax over channels"}
            ran = [one.ran for one in ones]
        else:
            found = gradient_maps(bench, x, method.name)
        if method.name != "scorecam":
            ran = [bench.ran - before] * len(places)
        triples = zip(places, found, cells, strict=True)
        maps = [self._map(method, settings, *triple) for triple in triples]
        return [replace(one, forwards=count) for one, count in zip(maps, ran, strict=True)]

    def _map(
        self,
        method: Method,
        settings: Mapping[str, Any],
        place: Place,
        values: Values,
        cells: Cells,
    ) -> MethodMap:
        of = place.what if place.name else "the input"
        if method.of_gates:
            count = len(settings["layers"])
            of = f"the spatial maps of {count} layers" if count > 1 else "the one spatial map"
        made = MethodMap(method.name, place.name, of, values, cells, settings=settings)
        if self.aim is None or not method.of_class:
            return made
        target, score, kind = self.aim.target, self.aim.score, self.aim.target.kind
        if target.box is not None and method.sweeps and not target.box.stays:
            score, kind = target.box.share, "score"
            made = replace(made, settings={**settings, "followed by": FOLLOWED})
        return replace(
            made,
            target=target.index,
            box=None if target.box is None else target.box.number,
            target_name=target.name,
            score=score,
            score_kind=kind,
        )
