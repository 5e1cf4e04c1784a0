"""What is in a store is what `analyse` gives for each photo alone, and others can read it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

import cbam_viz
from cbam_viz.batch.finding import furthest
from cbam_viz.batch.reporter import Reporter
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.cli.batch import PRECISIONS
from cbam_viz.errors import StoreError
from cbam_viz.images import InputSpec
from cbam_viz.images.spec import CROP_MODES
from cbam_viz.models import LoadedModel, wrap_model
from cbam_viz.store.precision import (
    STEPS,
    Precision,
    beyond_steps,
    from_steps,
    to_half_precision,
    to_steps,
)

pandas = pytest.importorskip("pandas")


def table_of(store: Path) -> Any:
    return pandas.read_parquet(store / "gates")


def close(stored: Any, wanted: torch.Tensor, precision: str = "float32") -> None:
    values = wanted[0].numpy().reshape(-1)
    if precision == "int16":
        assert stored.dtype == np.int16
        np.testing.assert_allclose(stored / 2048, values, atol=1e-5 + 2**-12, rtol=0)
        return
    rtol = 2**-11 if precision == "float16" else 1e-5
    np.testing.assert_allclose(stored, values, atol=1e-5, rtol=rtol)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("view", ["crop", "whole"])
@pytest.mark.parametrize("precision", ["float16", "float32", "int16"])
def test_rows_are_what_analyse_gives(
    loaded: LoadedModel, photos: Path, tmp_path: Path, view: Any, precision: Any, workers: int
) -> None:
    store = tmp_path / "store"
    settings = Settings(view=view, precision=precision)
    summary = run_batch(loaded, [str(photos)], store, settings, workers=workers)
    assert (summary.photos, summary.done, summary.failed, summary.complete) == (20, 20, 1, True)
    rows = table_of(store)
    assert list(rows.photo) == [n for n in range(20) if n != 15]  # ant 1 3 ... 19, bee 0 2 ...
    for _, row in rows.iterrows():
        path = photos / row["name"]
        alone = cbam_viz.analyse(loaded, cbam_viz.read_photo(path), view)
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["label"] == path.parent.name
        assert row["prediction"] == alone.predictions[0].label
        assert row["prediction_index"] == alone.predictions[0].index
        assert row["probability"] == pytest.approx(alone.predictions[0].probability, abs=1e-5)
        np.testing.assert_allclose(row["logits"], alone.attention.output[0].numpy(), atol=1e-5)
        geometry = alone.geometry
        assert (row["photo_height"], row["photo_width"]) == geometry.photo_size
        assert (row["input_height"], row["input_width"]) == geometry.input_size
        assert (row["scale_y"], row["scale_x"]) == (geometry.scale_y, geometry.scale_x)
        assert (row["offset_y"], row["offset_x"]) == (geometry.offset_y, geometry.offset_x)
        assert len(alone.attention) == 4
        for name, layer in alone.attention.items():
            close(row[f"{name}/channel"], layer.channel, precision)
            close(row[f"{name}/spatial"], layer.spatial, precision)
            if view == "whole":
                assert row[f"{name}/height"] == layer.spatial.shape[1]


@pytest.mark.parametrize("view", ["crop", "whole"])
@pytest.mark.parametrize("fit", CROP_MODES)
@pytest.mark.parametrize("fixed", [False, True])
def test_photos_of_many_shapes_however_they_are_fitted(
    loaded: LoadedModel, photos: Path, tmp_path: Path, view: Any, fit: Any, fixed: bool
) -> None:
    """Rectangles, as YOLO is fed, differ in size in either view; so does the whole of a photo."""
    spec = replace(loaded.spec, crop_mode=fit, fixed_size=fixed)
    fitted = replace(loaded, spec=spec)
    settings = Settings(view=view, precision="float32")
    summary = run_batch(fitted, [str(photos)], tmp_path / "store", settings, workers=1)
    assert summary.failed == 1
    rows = table_of(tmp_path / "store")
    sizes = set()
    for _, row in rows.iloc[:4].iterrows():
        alone = cbam_viz.analyse(fitted, cbam_viz.read_photo(photos / row["name"]), view)
        sizes.add(alone.geometry.input_size)
        for name, layer in alone.attention.items():
            close(row[f"{name}/channel"], layer.channel)
            close(row[f"{name}/spatial"], layer.spatial)
            if spec.varies(view):
                assert row[f"{name}/height"] == layer.spatial.shape[1]
    assert (len(sizes) > 1) == spec.varies(view)


def test_gates_differ_between_photos(loaded: LoadedModel, photos: Path, tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    settings = Settings(view="crop", precision="float32")
    run_batch(loaded, [str(photos)], tmp_path / "store", settings)
    rows = table_of(tmp_path / "store")
    for column in [name for name in rows if name.endswith(("/channel", "/spatial"))]:
        assert np.std(np.stack(rows[column]), 0).max() > 1e-4


def test_failures_are_listed(loaded: LoadedModel, photos: Path, tmp_path: Path) -> None:
    run_batch(loaded, [str(photos)], tmp_path / "store", Settings(view="crop"))
    (failed,) = pandas.read_csv(tmp_path / "store" / "failed.csv").to_dict("records")
    assert (failed["photo"], failed["name"]) == (15, "bee/10.png")
    assert "10.png" in failed["reason"]


def test_duckdb_reads_the_files(loaded: LoadedModel, photos: Path, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    run_batch(loaded, [str(photos)], tmp_path / "store", Settings(view="crop"))
    layer = json.loads((tmp_path / "store" / "store.json").read_text())["layers"][0]["name"]
    found = duckdb.sql(
        f"""SELECT label, count(*), avg("{layer}/channel"[3])
        FROM '{tmp_path}/store/gates/*.parquet' GROUP BY label ORDER BY label"""
    ).fetchall()
    rows = table_of(tmp_path / "store")
    for label, count, mean in found:
        mine = np.stack(rows[rows.label == label][f"{layer}/channel"])
        assert count == len(mine)
        assert mean == pytest.approx(mine[:, 2].mean(), abs=1e-6)
    assert [label for label, *_ in found] == ["ant", "bee"]


def test_the_store_says_what_it_is(loaded: LoadedModel, photos: Path, tmp_path: Path) -> None:
    run_batch(loaded, [str(photos)], tmp_path / "store", Settings(view="crop"))
    told = json.loads((tmp_path / "store" / "store.json").read_text())
    alone = cbam_viz.analyse(loaded, cbam_viz.read_photo(photos / "ant" / "01.png"))
    assert told["photos"] == 20
    assert told["input"]["sentence"] == alone.fed
    assert [layer["name"] for layer in told["layers"]] == list(alone.attention)
    for layer, wanted in zip(told["layers"], alone.layers, strict=True):
        assert layer["cells"]["stride_y"] == wanted.cells.stride_y
        assert layer["verified"] == wanted.verified


def test_half_precision_is_that_of_float16() -> None:
    values = np.random.default_rng(0).random(10_000, np.float32) + np.float32(1e-4)
    values = np.concatenate([values, -values, [0, 1, 65504, np.nan, np.inf]]).astype(np.float32)
    np.testing.assert_array_equal(
        to_half_precision(values), values.astype(np.float16).astype(np.float32)
    )
    large = np.float32([1e6, 1e-7])
    np.testing.assert_allclose(to_half_precision(large), large, rtol=2**-11)


def test_the_command_offers_every_precision() -> None:
    assert get_args(Precision) == PRECISIONS


def test_steps_are_whole_numbers_of_2048ths() -> None:
    values = np.float32([0, 1, 0.5, 1 / 2048, 1 / 4096, 3 / 4096, -16, 15.9995117, 0.3])
    wanted = [0, 2048, 1024, 1, 0, 2, -32768, 32767, 614]  # ties to even; 0.3 * 2048 is 614.4
    assert to_steps(values).tolist() == wanted
    random = np.random.default_rng(0).random(10_000, np.float32)
    assert np.abs(from_steps(to_steps(random)) - random).max() <= 0.5 / STEPS
    assert not beyond_steps({"se/channel": values})
    for beyond, told in ((16, "16"), (-16.1, "-16.1"), (np.nan, "nan"), (np.inf, "inf")):
        gates = {"se/channel": values, "se/spatial": np.float32([[0.5, beyond]])}
        assert beyond_steps(gates).startswith(f"se/spatial has the value {told}, and 16-bit")


class Loud(torch.nn.Module):
    """Own code: a gate without a sigmoid, larger for brighter photos."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 6, 3, 2, 1, bias=False)
        self.squeeze = torch.nn.Linear(6, 6, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return (x * self.squeeze(x.mean((2, 3))).relu()[:, :, None, None]).mean((2, 3))


def test_what_whole_numbers_do_not_hold_is_told(tmp_path: Path) -> None:
    """A photo's gate beyond 16 is a reason for that photo; of the first photo, for the run."""
    torch.manual_seed(0)
    net = Loud().eval()
    net.stem.weight.data = net.stem.weight.data.abs()
    weights = net.squeeze.weight.data
    spec = cbam_viz.InputSpec(size=(32, 32), mean=(0, 0, 0), std=(1, 1, 1))
    own = cbam_viz.wrap_model(net, spec, name="Loud")
    for name, level in (("0", 20), ("1", 255)):
        (tmp_path / "photos").mkdir(exist_ok=True)
        pixels = np.full((32, 32, 3), level, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    peaks = [
        float(cbam_viz.analyse(own, cbam_viz.read_photo(path)).layers[0].channel.abs().max())
        for path in sorted((tmp_path / "photos").iterdir())
    ]
    weights *= 20 / peaks[1]  # 20 for the white photo, less than 2 for the dark one
    settings = Settings(view="crop", precision="int16")
    summary = run_batch(own, [str(tmp_path / "photos")], tmp_path / "store", settings)
    assert (summary.done, summary.failed) == (2, 1)
    (failed,) = pandas.read_csv(tmp_path / "store" / "failed.csv").to_dict("records")
    assert failed["name"] == "1.png"
    assert "16-bit whole numbers hold gates from -16 to 15.9995: take the" in failed["reason"]
    weights *= 20
    with pytest.raises(StoreError, match="16-bit whole numbers"):
        run_batch(own, [str(tmp_path / "photos")], tmp_path / "other", settings)


class Mixing(torch.nn.Module):
    """Own code: a gate that looks at the other photos of the batch, and one output a photo."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 6, 3, 2, 1)
        self.score, self.head = torch.nn.Conv2d(6, 1, 1), torch.nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x * torch.sigmoid(self.score(x - x.mean(0, keepdim=True)))
        return self.head(x.mean((2, 3)))


class Detecting(torch.nn.Module):
    """Own code: boxes of all photos in lists, as detectors give them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.score = torch.nn.Conv2d(3, 6, 3, 2, 1), torch.nn.Conv2d(6, 1, 1)

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        x = self.stem(x)
        x = x * torch.sigmoid(self.score(x))
        return [{"boxes": one.flatten()[:8].view(2, 4)} for one in x]


@pytest.mark.parametrize("make", [Mixing, Detecting])
def test_own_networks(make: type[torch.nn.Module], photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = wrap_model(make().eval(), cbam_viz.InputSpec(size=(64, 64)))
    run_batch(own, [str(photos)], tmp_path / "store", Settings(view="crop", precision="float32"))
    rows = table_of(tmp_path / "store")
    (column,) = [name for name in rows if name.endswith("/spatial")]
    assert len(rows) == 19
    assert ("output" in rows) == (make is Mixing)
    for _, row in rows.iterrows():
        alone = cbam_viz.analyse(own, cbam_viz.read_photo(photos / row["name"]))
        close(row[column], alone.layers[0].spatial)
    assert json.loads((tmp_path / "store" / "store.json").read_text())["batch"] == 1


class Deciding(torch.nn.Module):
    """A gate whose way hangs on the mean over all photos that come together."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.head = torch.nn.Conv2d(3, 3, 1), torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> Any:
        squeezed = self.gate(x.mean((2, 3), keepdim=True))
        x = x * (squeezed.sigmoid() if x.mean() > 0 else squeezed.sigmoid() / 2)
        return self.head(x.mean((2, 3)))


def test_a_network_that_decides_by_values_sees_photos_one_at_a_time(tmp_path: Path) -> None:
    """The first two photos are alike, so that a trial on them shows nothing."""
    from PIL import Image

    for number, light in enumerate((250, 249, 250, 1, 2, 250, 250, 3)):
        Image.new("RGB", (32, 32), (light, light, light)).save(tmp_path / f"{number}.png")
    spec = InputSpec(size=(32, 32))
    loaded = wrap_model(Deciding().eval(), spec, name="deciding")
    said: list[str] = []
    reporter = Reporter()
    reporter.say = said.append  # type: ignore[method-assign]
    settings = Settings("crop", precision="float32")
    run_batch(loaded, [str(tmp_path)], tmp_path / "store", settings, workers=1, reporter=reporter)
    assert "one at a time: its code asks for values" in " ".join(said)
    for _, row in table_of(tmp_path / "store").iterrows():
        alone = cbam_viz.analyse(loaded, cbam_viz.read_photo(tmp_path / row["name"]), "crop")
        ((name, layer),) = alone.attention.items()
        close(row[f"{name}/channel"], layer.channel)


def test_values_that_are_no_numbers_do_not_part_photos() -> None:
    nan, inf = np.nan, np.inf
    here = np.array([1, nan, inf, -inf], np.float32)
    assert furthest(here, np.array([1.25, nan, inf, -inf], np.float32)) == 0.25
    for other in ([1, 2, inf, -inf], [1, nan, inf, inf], [nan, nan, inf, -inf]):
        assert furthest(here, np.array(other, np.float32)) == inf
    assert furthest(here[:0], here[:0]) == 0
