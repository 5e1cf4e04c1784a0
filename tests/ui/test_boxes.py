"""A detector's box as what the second picture is for: chosen by number, in the link, outlined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cbam_viz
from cbam_viz.images import InputSpec, read_photo, samples
from cbam_viz.methods import Box, photo_maps
from cbam_viz.models import offered
from tests.ui.test_second import shown, values

SPEC = InputSpec(size=(64, 64), mean=(0.0,), std=(1.0,), crop_pct=1.0, crop_mode="squash")


class Halves(nn.Module):
    """Gated colours in cells of 8 x 8; the left half's red is box 2, the right half's green 1."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.place = nn.AvgPool2d(8), nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x)
        x = x * torch.sigmoid(self.place(x))
        return torch.stack((x[:, 1, :, 4:].mean((1, 2)) + 2, x[:, 0, :, :4].mean((1, 2)) + 1), 1)[
            ..., None
        ]


def decode(output: Tensor) -> cbam_viz.Detections:
    boxes = [[32, 0, 64, 64], [0, 0, 32, 64]]
    return cbam_viz.Detections(boxes, output[0, :, 0].sigmoid(), [1, 0])


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setattr(offered, "_offered", {})
    torch.manual_seed(0)
    net = cbam_viz.wrap_model(Halves().eval(), SPEC, ("cat", "dog"), "mine", decode=decode)
    offered.offer("mine.py:net", net)
    return net


def select(app, label):
    return next(one for one in app.selectbox if one.label == label)


def test_a_box_is_chosen_as_it_is_listed(own, open_app) -> None:
    app = open_app(method2="layercam")
    assert not app.exception
    chosen = select(app, "Box that it is for")
    assert chosen.options[0].startswith("1 · dog")
    assert "highest score" in chosen.options[0]
    layer = shown(app)["second"]["name"].partition("_")[2]
    photo = read_photo(samples()[0].path)
    for number, half in ((1, slice(0, 4)), (2, slice(4, 8))):
        select(app, "Box that it is for").select_index(number).run()
        assert not app.exception
        assert app.query_params["box2"] == str(number)
        second = shown(app)["second"]
        (expected,) = photo_maps(own, photo, (layer,), ("layercam",), Box(number))
        np.testing.assert_allclose(values(second), expected.values, atol=2e-6)
        assert not expected.values[:, half].any()  # no evidence for it there
        assert expected.values.any()
        assert f"for box {number}, " in second["title"]
        assert len(second["found"]) == 1


def test_a_box_that_is_not_there_is_told(own, open_app) -> None:
    app = open_app(method2="gradcam", box2="9")
    assert not app.exception
    assert select(app, "Box that it is for").value is None
    told = " ".join(one.value for one in (*app.info, *app.warning, *app.caption))
    assert "Box 9 is not on this photo" in told
