"""CSV that spreadsheets and data frames read back to the same float32 values."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cbam_viz import StoreError
from cbam_viz.images import Geometry
from cbam_viz.statistics import all_statistics
from cbam_viz.store import csv_text, statistics_text, write_csv, write_statistics
from tests.store.helpers import NAMES, attention


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("index", [0, 1])
def test_every_value_comes_back(index: int) -> None:
    source = attention()
    found = rows(csv_text(source, index))
    columns = ["layer", "stage", "kind", "channel", "row", "column", "value", "photo_share"]
    assert list(found[0]) == columns
    position = 0
    for name in NAMES:
        layer = source[name]
        expected: list[tuple[str, str, str, str, float]] = []
        if layer.channel is not None:
            for channel, value in enumerate(layer.channel[index].tolist()):
                expected.append(("channel", str(channel), "", "", value))
        if layer.spatial is not None:
            for (row, column), value in np.ndenumerate(layer.spatial[index].numpy()):
                expected.append(("spatial", "", str(row), str(column), float(value)))
        for kind, channel, row, column, value in expected:
            line = found[position]
            position += 1
            assert line["layer"] == name
            assert line["stage"] == "layer1"
            cells = (line["kind"], line["channel"], line["row"], line["column"])
            assert cells == (kind, channel, row, column)
            assert line["photo_share"] == ""  # no photo is known
            read = np.float32(line["value"])
            assert read == np.float32(value) or (math.isnan(read) and math.isnan(value))
    assert position == len(found)


def test_values_are_as_short_as_float32_allows() -> None:
    source = attention(1)
    source["layer1.0.se#2"].channel[0, 0] = torch.tensor(0.1)  # type: ignore[index]
    assert "layer1.0.se#2,layer1,channel,0,,,0.1,\n" in csv_text(source)


def test_a_cells_share_of_the_photo_is_beside_its_value() -> None:
    """The photo is rows 0 to 48 of 224 x 224; cells at 0.5 and 32.5, and 1/3, 16 5/6, 33 1/3."""
    geometry = Geometry((48, 224), (224, 224), 1.0, 1.0, 0.0, 0.0)
    found = rows(csv_text(attention(), 1, geometry))
    lines = [line for line in found if line["layer"] == "layer1.0.se" and line["row"]]
    shares = np.array([float(line["photo_share"]) for line in lines]).reshape(2, 3)
    down, across = np.array([16.5, 31.5]) / 48, np.array([8.58333, 16.5, 198.91667]) / 224
    np.testing.assert_allclose(shares, np.outer(down, across), atol=1e-6)
    assert {line["photo_share"] for line in found if line["channel"]} == {""}


def test_names_with_commas_quotes_and_line_breaks_are_quoted() -> None:
    assert '"größe, ""x""\n=1",layer1,channel,0' in csv_text(attention())


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "gates.csv"
    write_csv(path, attention())
    assert path.read_bytes().decode("utf-8") == csv_text(attention())
    with pytest.raises(StoreError, match="exists"):
        write_csv(path, attention())
    write_csv(path, attention(), 1, force=True)
    stream = io.StringIO()
    write_csv(stream, attention(), 1)
    assert path.read_text("utf-8") == stream.getvalue()


@pytest.mark.parametrize("index", [2, -1])
def test_an_image_that_is_not_in_the_batch(index: int) -> None:
    with pytest.raises(StoreError, match=rf"no image {index} in a batch of 2"):
        csv_text(attention(), index)


def test_statistics(tmp_path: Path) -> None:
    geometry = Geometry((48, 224), (224, 224), 1.0, 1.0, 0.0, -100.0)  # no photo on the left
    statistics = all_statistics(attention(), 1, geometry)
    found = rows(statistics_text(statistics))
    assert [line["layer"] for line in found] == NAMES
    for line, layer in zip(found, statistics, strict=True):
        assert line["flags"] == "; ".join(layer.flags)
        for name, gate in (("channel", layer.channel), ("spatial", layer.spatial)):
            if gate is None:
                assert line[f"{name}_mean"] == ""
                continue
            assert float(line[f"{name}_mean"]) == gate.mean
            assert float(line[f"{name}_saturated"]) == gate.saturated
            assert (line[f"{name}_count"], line[f"{name}_total"]) == (
                (str(gate.total),) * 2 if name == "channel" else ("2", "6")
            )
            assert float(line[f"{name}_entropy"]) == gate.entropy
    path = tmp_path / "statistics.csv"
    write_statistics(path, statistics)
    assert path.read_text("utf-8") == statistics_text(statistics)
