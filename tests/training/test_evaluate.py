from __future__ import annotations

from pathlib import Path

import pytest

from cbam_viz._places import checkpoints_folder
from training.data.folder import list_split
from training.measure.evaluate import load_checkpoint, measure_localisation, read_boxes


def test_objects_that_the_crop_cuts_off_are_left_out_of_the_means(data: Path) -> None:
    """A crop of 48 x 64 pixels ends 8 columns before each side."""
    loaded = load_checkpoint(checkpoints_folder() / "everyday23_resnet18_cbam.safetensors")
    listing, boxes = list_split(data / "val"), read_boxes(data)
    whole = measure_localisation(loaded, listing, boxes)
    assert whole["images"] == 8
    gone = {**boxes, "blue square/0.png": [[0.0, 0.0, 0.05, 1.0]]}
    assert set(gone) == set(boxes)
    left = measure_localisation(loaded, listing, gone)
    assert left["images"] == 7
    # The same square on the same place in all of them: a uniform map's share is its area.
    for found in (whole, left):
        assert found["maps"]["uniform"]["energy"] == pytest.approx(16 * 20 / 48**2, rel=0.01)
