"""Another method as the second picture: its own values and scale, class, agreement, in the link."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

import cbam_viz
from cbam_viz.attention import Cells
from cbam_viz.images import Geometry, read_photo, samples
from cbam_viz.methods import photo_maps
from cbam_viz.render import Scale, absolute_scale
from cbam_viz.ui import scene
from cbam_viz.ui.drawing.on_photo import Field, OnPhoto, on_one_scale
from cbam_viz.ui.pages.explore import by_method
from cbam_viz.ui.turns import Turns
from tests.app_checkpoint import CLASSES, NAME
from tests.ui.test_second import TWIN, shown, three, values

assert three is not None  # a fixture


def expected(folder, model, layer, method="gradcam", target=None) -> np.ndarray:
    loaded = cbam_viz.load_model(folder / model)
    return photo_maps(loaded, read_photo(samples()[0].path), (layer,), (method,), target)[0].values


def texts(app) -> str:
    return "\n".join(element.value for element in app.caption)


def test_gradcam_is_one_click_away_on_its_own_scale(open_app, three):
    app = open_app(folder=three, layer="layer3.0.se")
    app.get_by_key("compare").set_value("method").run()
    assert not app.exception
    assert app.query_params["method2"] == "gradcam"
    found = expected(three, NAME, "layer3.0.se")
    second = shown(app)["second"]
    np.testing.assert_allclose(values(second), found, atol=2e-6)
    assert second["name"] == "gradcam_layer3.0.se"
    bars = shown(app)["bar"]["label"], shown(app)["second_bar"]["label"]
    assert bars[0].startswith("Spatial map: absolute")
    assert bars[1].startswith("Grad-CAM: this map alone, 0 to")
    assert "do not depend on a class" in texts(app)
    assert "Agreement: Pearson" in texts(app)
    assert "chance: " in texts(app)
    app.get_by_key("compare").set_value(None).run()
    assert shown(app)["second"] is None
    assert "method2" not in app.query_params


def test_method_class_and_layer_are_chosen_and_in_the_link(open_app, three):
    link = {"method2": "layercam", "class2": "2", "layer2": "layer4"}
    app = open_app(folder=three, **link)
    assert not app.exception
    np.testing.assert_allclose(
        values(shown(app)["second"]), expected(three, NAME, "layer4", "layercam", 2), atol=2e-6
    )
    assert shown(app)["second"]["title"] == f"LayerCAM of the output of layer4 for {CLASSES[2]}"
    app.selectbox(key="set_class2").select(1).run()
    assert app.query_params["class2"] == "1"
    app.selectbox(key="set_method2").select("eigencam").run()
    assert "set_class2" not in {one.key for one in app.selectbox}
    np.testing.assert_allclose(
        values(shown(app)["second"]), expected(three, NAME, "layer4", "eigencam"), atol=1e-4
    )


def test_one_map_of_all_gates_is_one_click_away(open_app, three):
    app = open_app(folder=three, layer="layer3.0.se")
    app.get_by_key("compare").set_value("whole").run()
    assert not app.exception
    assert app.query_params["method2"] == "whole"
    np.testing.assert_allclose(
        values(shown(app)["second"]), expected(three, NAME, "", "whole"), atol=2e-6
    )
    assert shown(app)["second"]["title"] == "All spatial gates (heuristic)"
    assert "One map of all spatial gates is a heuristic" in texts(app)
    assert {"set_class2", "set_layer2"} & {one.key for one in app.selectbox} == set()


def test_the_twin_without_attention_shows_its_last_stage(open_app, three):
    app = open_app(folder=three, model2=TWIN, method2="gradcam")
    assert not app.exception
    np.testing.assert_allclose(
        values(shown(app)["second"]), expected(three, TWIN, "layer4"), atol=2e-6
    )
    assert app.get_by_key("prediction_beside") is not None


def test_a_map_is_made_once(open_app, three, monkeypatch):
    import cbam_viz.methods as methods

    made: list[str] = []
    real = methods.photo_maps
    monkeypatch.setattr(methods, "photo_maps", lambda *a, **k: made.append("map") or real(*a, **k))
    app = open_app(folder=three, method2="gradcam", layer="layer4.0.se")
    app.get_by_key("set_show").set_value("map").run()
    app.selectbox(key="set_layer2").select("layer3.0.se").run()
    app.selectbox(key="set_layer2").select("layer4.0.se").run()
    assert made == ["map", "map"]


def test_what_a_link_cannot_mean_is_a_note(open_app, three):
    app = open_app(folder=three, method2="palmistry", class2="999")
    assert not app.exception
    assert shown(app)["second"]["name"] == shown(app)["name"]  # until something else is chosen
    assert "method2" not in app.query_params
    assert any("is not offered here" in one.value for one in (*app.warning, *app.info))


def test_a_class_that_is_gone_is_the_predicted_one(open_app, three):
    app = open_app(folder=three, method2="gradcam", class2="999", layer="layer4.0.se")
    assert not app.exception
    np.testing.assert_allclose(
        values(shown(app)["second"]), expected(three, NAME, "layer4.0.se"), atol=2e-6
    )


def test_a_flat_map_says_so(open_app, three, monkeypatch):
    real = scene.Scene.by_method

    def flat(self, *arguments):
        from dataclasses import replace

        found = real(self, *arguments)
        return replace(found, values=np.zeros_like(found.values))

    monkeypatch.setattr(scene.Scene, "by_method", flat)
    app = open_app(folder=three, method2="gradcam")
    assert not app.exception
    assert any("0 everywhere" in one.value for one in app.info)
    assert "nothing to agree on" in texts(app)
    assert shown(app)["second_bar"]["ticks"] == ["0", "1"]


def test_values_of_other_units_stay_on_scales_of_their_own() -> None:
    geometry = Geometry.of_input((4, 4))

    def side(scale: Scale, unit: str) -> OnPhoto:
        field = Field(np.zeros((2, 2), np.float32), Cells(2, 2, 1, 1), scale, unit)
        return OnPhoto("a", "a", "a", "a", None, geometry, field, "a")

    gate, cam = side(absolute_scale(), "Spatial map"), side(Scale("per map", 0, 0.1), "Grad-CAM")
    assert [one.field.scale for one in on_one_scale(gate, cam)] == [
        gate.field.scale, cam.field.scale,
    ]  # fmt: skip
    other = side(Scale("per map", 0, 0.3), "Grad-CAM")
    assert {one.field.scale.high for one in on_one_scale(cam, other)} == {0.3}


def test_scorecam_says_its_cost_counts_its_forwards_and_stands_in_the_link(
    open_app, three, monkeypatch
):
    bars: list[tuple[float, str]] = []
    real = by_method.progress

    @contextmanager
    def noted(text: str):
        with real(text) as report:

            def both(share: float, more: str = "") -> None:
                bars.append((share, f"{text} {more}"))
                report(share, more)

            yield both

    monkeypatch.setattr(by_method, "progress", noted)
    app = open_app(folder=three, method2="gradcam", layer="layer1.0.se")
    (label,) = [
        one for one in app.selectbox(key="set_method2").options if one.startswith("Score-CAM")
    ]
    assert label == "Score-CAM (a forward for each channel)"
    assert not bars  # a method of one forward has none
    app.selectbox(key="set_method2").select("scorecam").run()
    assert not app.exception
    assert app.query_params["method2"] in ("scorecam", ["scorecam"])
    np.testing.assert_allclose(
        values(shown(app)["second"]), expected(three, NAME, "layer1.0.se", "scorecam"), atol=2e-6
    )
    # 64 channels and the photo itself, sixteen at a time; once more for the photo's features.
    assert [share for share, _ in bars] == pytest.approx([1 / 65, 17 / 65, 33 / 65, 49 / 65, 1])
    assert bars[1][1].startswith("Score-CAM (a forward for each channel): 17 of 65, about ")
    assert "It takes a forward for each channel (66 here)" in texts(app)
    bars.clear()
    app.selectbox(key="set_colormap").set_value("grey").run()
    assert not bars


def test_long_work_lets_others_go_between_its_pieces() -> None:
    turns, order = Turns(), []
    begun, asked = threading.Event(), threading.Event()

    def long() -> None:
        with turns.taken():
            for piece in range(4):
                order.append(piece)
                begun.set()
                asked.wait(10)
                while len(turns._queue) < 2 and piece == 0:
                    time.sleep(0.001)
                turns.pass_on()

    def short() -> None:
        with turns.taken():
            order.append("other")

    one, other = threading.Thread(target=long), threading.Thread(target=short)
    one.start()
    begun.wait(10)
    other.start()
    asked.set()
    one.join(10)
    other.join(10)
    assert order == [0, "other", 1, 2, 3]


def test_work_that_is_stopped_gives_its_turn_back() -> None:
    turns = Turns()
    with pytest.raises(KeyboardInterrupt), turns.taken():
        raise KeyboardInterrupt
    with turns.taken():
        turns.pass_on()
    assert not turns._queue
