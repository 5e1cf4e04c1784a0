"""What every page is about: one photo in one network.

A scene is made of its arguments alone: it reads no session and changes no setting. What it computes
is kept in `results`, so that it is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from cbam_viz.ablation import analyse_with
from cbam_viz.analysis import Analysis, analyse
from cbam_viz.attention import LayerAttention
from cbam_viz.computation import GateKind
from cbam_viz.errors import NoAttentionError
from cbam_viz.images import Photo, View
from cbam_viz.layer_names import Titles, titles
from cbam_viz.models import LoadedModel
from cbam_viz.render import Scale
from cbam_viz.shares import Share, share_inside
from cbam_viz.statistics import LayerStatistics, all_statistics, doubted, layer_to_show
from cbam_viz.steps import analyse_steps
from cbam_viz.ui import words
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.drawing.on_photo import Field, OnPhoto
from cbam_viz.ui.request import Request
from cbam_viz.ui.session.link import UPLOAD, Settings
from cbam_viz.ui.session.results import Results
from cbam_viz.ui.turns import Turns

if TYPE_CHECKING:
    from cbam_viz.methods import MethodMap, Progress
    from cbam_viz.methods.targets import Wish

T = TypeVar("T")

SAMPLES_KEPT = 12
"""Results that all sessions share: those of sample photos, which are nobody's secret."""

method_turns = Turns()
"""Score-CAM and occlusion take hundreds of forwards and a backward takes memory: one visitor at a
time, and the next one between two forwards."""


@dataclass(frozen=True)
class Scene:
    """A photo, the network that looked at it, and what it attended to."""

    photo: Photo
    loaded: LoadedModel
    request: Request
    view: View
    analysis: Analysis
    settings: Settings
    """What the visitor chose, as this run began: the layer, colours, scale."""
    results: Results

    @property
    def key(self) -> Hashable:
        """What pictures made of this scene are kept by."""
        return self.photo.sha256, self.request, self.view

    @property
    def layers(self) -> dict[str, LayerAttention]:
        """Captured layers by name, in order of execution."""
        return dict(self.analysis.attention)

    @property
    def titles(self) -> Titles:
        """What to call the layers and stages."""
        return self._kept("titles", lambda: titles(self.layers.values()))

    def title(self, layer: LayerAttention) -> str:
        """What to call a layer: `stage 4, block 2`, or its name."""
        return self.titles.layers[layer.name]

    def layer(self) -> LayerAttention:
        """The layer that the visitor picked; else the one to look at first on this photo.

        That one does not become their pick, so that the next photo gets the layer that suits it.
        """
        if self.settings.layer in self.layers:
            return self.layers[self.settings.layer]
        geometry = self.analysis.geometry
        return self._kept(
            "first layer", lambda: layer_to_show(self.layers.values(), geometry=geometry)
        )

    def scale(self, layer: LayerAttention) -> Scale:
        """The scale that the visitor chose, for this layer's map."""
        return pictures.scale_for(self.settings.scale, layer, list(self.layers.values()))

    def on_photo(self, layer: LayerAttention | None) -> OnPhoto:
        """A layer's map on the photo; the photo alone where there is none."""
        name = "no attention" if layer is None else layer.name
        title = name if layer is None else words.heading(self.title(layer), name)
        alt, field = self.photo.name, None
        if layer is not None and layer.spatial is not None and layer.cells is not None:
            alt = words.picture_alt(self.photo, layer, self.analysis.geometry, self.title(layer))
            field = Field(pictures.spatial_map(layer), layer.cells, self.scale(layer))
        return OnPhoto(
            name=name,
            title=title,
            provenance=f"{self.loaded.name} · {self.photo.name}",
            alt=alt,
            photo=self.photo,
            geometry=self.analysis.geometry,
            field=field,
            key=(self.key, name),
            found=self.analysis.detections,
        )

    def share(self, layer: LayerAttention) -> Share | None:
        """How much of a layer's map lies on what a detector found."""
        return self._kept(("share", layer.name), lambda: share_inside(self.analysis, layer))

    def statistics(self) -> tuple[LayerStatistics, ...]:
        """The numbers of every layer, on the photo."""
        analysis = self.analysis
        return self._kept(
            "statistics",
            lambda: doubted(
                all_statistics(analysis.attention, geometry=analysis.geometry), analysis.doubt
            ),
        )

    def card_picture(self, layer: LayerAttention) -> str:
        """A layer's overlay for the gallery, as a data URL."""
        chosen = self.settings
        small = self._kept("small", lambda: pictures.small_photo(self.photo, len(self.layers)))
        return self._kept(
            ("card", layer.name, chosen.scale, chosen.colormap),
            lambda: pictures.card_picture(
                small,
                self.analysis.geometry,
                layer,
                scale=self.scale(layer),
                colormap=chosen.colormap,
            ),
        )

    def strip_picture(self, layer: LayerAttention) -> str:
        """A layer's channel weights as a strip, as a data URL."""
        assert layer.channel is not None
        weights, colormap = layer.channel[0].numpy(), self.settings.colormap
        return self._kept(
            ("strip", layer.name, colormap), lambda: pictures.strip_picture(weights, colormap)
        )

    def _kept(self, key: Hashable, make: Callable[[], T]) -> T:
        return self.results.pictures.get_or_make((self.key, key), make)

    def details(self, name: str) -> LayerAttention:
        """One layer with its features, from memory or one forward."""
        return self.results.details.get_or_make(
            (self.key, name),
            lambda: analyse(self.loaded, self.photo, self.view, features=(name,)).attention[name],
        )

    def computed(self, name: str) -> LayerAttention:
        """One layer with every operation of its gates, from memory or one forward."""
        return self.results.details.get_or_make(
            (self.key, name, "steps"),
            lambda: analyse_steps(self.loaded, self.photo, name, self.view).attention[name],
        )

    def by_method(
        self, method: str, layer: str, target: Wish, progress: Progress | None = None
    ) -> MethodMap:
        """What another method makes of a layer for a class or box, or for the first one; once.

        `progress` is that of `method_maps`. Raises MethodError.
        """
        from cbam_viz.methods import photo_maps

        def between(done: int, of: int) -> None:
            if progress is not None:
                progress(done, of)
            method_turns.pass_on()

        def make() -> MethodMap:
            with method_turns.taken():
                return photo_maps(
                    self.loaded,
                    self.photo,
                    (layer,),
                    (method,),
                    target,
                    view=self.view,
                    attention=self.analysis.attention,
                    progress=between,
                )[0]

        return self._kept(("method", method, layer, target), make)

    def without(self, layer: LayerAttention, gates: tuple[GateKind, ...]) -> Analysis:
        """The photo without gates of a layer: ones in their place; one forward, once."""
        wishes = {layer.name: dict.fromkeys(gates, "one")}
        return self._kept(
            ("without", layer.name, gates),
            lambda: analyse_with(self.loaded, self.analysis, wishes),
        )


def make_scene(
    photo: Photo, loaded: LoadedModel, request: Request, settings: Settings, results: Results
) -> Scene:
    """Run the network on the photo, unless that was done a moment ago.

    Raises CbamVizError if the network has no attention or cannot take the photo.
    """
    view = settings.view
    result = _analysis(photo, loaded, request, view, results, sample=settings.image != UPLOAD)
    # The photo is in grey, if the network sees it so.
    return Scene(result.photo, loaded, request, view, result, settings, results)


def make_scene_beside(
    first: Scene, photo: Photo, loaded: LoadedModel, request: Request, *, sample: bool
) -> Scene:
    """The same for a photo or network that stands beside the first; kept together with that.

    A network without attention has a scene without layers here: it shows what it predicts. `sample`
    says that the photo is nobody's own. Raises CbamVizError if the network cannot take the photo.
    """
    view, results = first.view, first.results

    def look() -> Analysis:
        try:
            return _analysis(photo, loaded, request, view, results, sample=sample)
        except NoAttentionError:
            return analyse(loaded, photo, view, gates=False)

    result = results.analyses.get_or_make(("beside", photo.sha256, request, view), look)
    return replace(first, photo=result.photo, loaded=loaded, request=request, analysis=result)


def _analysis(
    photo: Photo,
    loaded: LoadedModel,
    request: Request,
    view: View,
    results: Results,
    *,
    sample: bool,
) -> Analysis:
    """From this session's memory, from the one that all share, or by a forward."""
    look = of_sample if sample and request.path is not None else _look
    return results.analyses.get_or_make(
        (photo.sha256, request, view), lambda: look(photo.sha256, request, view, photo, loaded)
    )


def _look(
    _sha256: str, _request: Request, view: View, photo: Photo, loaded: LoadedModel
) -> Analysis:
    return analyse(loaded, photo, view)


@st.cache_resource(max_entries=SAMPLES_KEPT, show_spinner=False)
def of_sample(
    sha256: str, request: Request, view: View, _photo: Photo, _loaded: LoadedModel
) -> Analysis:
    """A sample photo by a network of the server: the same for every visitor, so shared by all."""
    return _look(sha256, request, view, _photo, _loaded)
