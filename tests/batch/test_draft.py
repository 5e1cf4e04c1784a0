"""JPEGs decoded smaller: near the exact store, its other columns the same, its effect said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cbam_viz
from cbam_viz.batch import drafting, fast
from cbam_viz.batch.drafting import DraftEffect, measure_draft
from cbam_viz.batch.looking import Looker
from cbam_viz.batch.reporter import Reporter
from cbam_viz.batch.run import run_batch
from cbam_viz.batch.settings import Settings
from cbam_viz.batch.sources.listing import photos_of
from cbam_viz.cli.batch import FAST
from cbam_viz.errors import ModelError, StoreError
from cbam_viz.models import LoadedModel, wrap_model
from tests.images.helpers import orientation_exif, scene

pq = pytest.importorskip("pyarrow.parquet")

LARGE = ["0.jpg", "2.jpg"]
"""Of the photos below those that are ten times as large as the 73 pixels they are resized to."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two large JPEGs, one of them held upright, and three photos that are decoded whole."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    fine = scene(743, 981).astype(int) + rng.integers(-25, 26, (743, 981, 1))
    large = Image.fromarray(fine.clip(0, 255).astype(np.uint8))
    large.save(folder / "0.jpg", quality=92)
    large.resize((600, 500)).save(folder / "1.jpg", quality=92)
    large.save(folder / "2.jpg", quality=92, exif=orientation_exif(6))
    large.resize((740, 740)).save(folder / "3.png", compress_level=1)
    large.resize((740, 740)).convert("CMYK").save(folder / "4.jpg")
    return folder


class Told(Reporter):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.text = ""

    def say(self, text: str) -> None:
        self.text += text + "\n"


def looker(loaded: LoadedModel, *ways: str, batch: int = 4) -> Looker:
    return Looker(loaded, Settings(view="crop", fast=ways, device="cpu"), batch)


def test_the_command_knows_all_ways() -> None:
    assert fast.WAYS == FAST
    assert fast.computing(("compile", "draft")) == ("compile",)


def test_what_is_measured(loaded: LoadedModel, files: Path) -> None:
    effect = measure_draft(looker(loaded, "draft"), photos_of([str(files)]))
    assert (effect.photos, effect.drafted) == (5, 2)
    assert min(*effect.preparing, *effect.forward) > 0
    # Independently: the same photos by hand, the large ones at half of their size.
    spec, worst, output = loaded.spec, 0.0, 0.0
    for name in LARGE:
        exact = cbam_viz.images.prepare(cbam_viz.read_photo(files / name), spec, "crop")
        smaller = Image.open(files / name)
        smaller.draft(None, (smaller.width // 2, smaller.height // 2))
        assert smaller.size == (491, 372)
        smaller.load()
        if name == "2.jpg":
            smaller = smaller.transpose(Image.Transpose.ROTATE_270)
            box = (0.5, 0.0, 372.0, 490.5)  # 743 x 981 by two, its last row come to the left
        else:
            box = (0.0, 0.0, 490.5, 371.5)
        size = (96, 73) if name == "0.jpg" else (73, 96)
        resized = smaller.resize(size, Image.Resampling.BICUBIC, box)
        left, top = (round((side - 64) / 2) for side in size)
        values = np.asarray(resized.crop((left, top, left + 64, top + 64)), np.float32) / 255
        values = (values - np.float32(spec.mean)) / np.float32(spec.std)
        x = torch.from_numpy(values.transpose(2, 0, 1)[None].copy())
        with torch.inference_mode():
            one, other = (cbam_viz.capture(loaded.model, t) for t in (exact.tensor, x))
        for layer in one:
            for part in ("channel", "spatial"):
                a, b = getattr(one[layer], part), getattr(other[layer], part)
                worst = max(worst, float((a - b).abs().max()))
        output = max(output, float((one.output - other.output).abs().max()))
    assert effect.gates == pytest.approx(worst, abs=2e-6)
    assert effect.output == pytest.approx(output, abs=1e-5)
    assert 1e-5 < effect.gates < 0.03


def test_what_is_said() -> None:
    effect = DraftEffect(16, 12, (0.1, 0.05), (0.05, 0.025), 0.0123, 0.5)
    assert effect.told == (
        "Fast (draft): 12 of the first 16 photos decoded smaller; to read and prepare one takes "
        "50 ms in place of 100, with the forward 75 ms in place of 150: 2.00 times as fast. Gates "
        "differ by 1.2e-02 at most (allowed: 3e-02), the output by 5.0e-01."
    )
    ahead = replace(effect, threads=4).told  # 25 and 12.5 ms, so that the forward decides
    assert "with the forward 25 ms in place of 50: 2.00 times as fast" in ahead
    none = DraftEffect(16, 0, (0.1, 0.1), (0.05, 0.05), 0.0, 0.0)
    assert "the first 16 photos had to be decoded whole" in none.told
    assert "(draft): the first photo decoded smaller" in replace(effect, photos=1, drafted=1).told


@pytest.mark.parametrize(
    ("view", "ways"), [("crop", ("draft",)), ("whole", ("draft",)), ("crop", ("fuse", "draft"))]
)
def test_stores_agree(
    loaded: LoadedModel, files: Path, tmp_path: Path, view: cbam_viz.View, ways: tuple[str, ...]
) -> None:
    exact, smaller, told = tmp_path / "exact", tmp_path / "smaller", Told()
    plain = Settings(view=view, precision="float32")
    settings = replace(plain, fast=ways)
    run_batch(loaded, [str(files)], exact, plain)
    run_batch(loaded, [str(files)], smaller, settings, workers=2, reporter=told)
    assert "2 of the first 5 photos decoded smaller" in told.text
    assert ("Fast (fuse):" in told.text) == ("fuse" in ways)
    one, other = (pq.read_table(store / "gates").to_pandas() for store in (exact, smaller))
    assert list(one["name"]) == ["0.jpg", "1.jpg", "2.jpg", "3.png", "4.jpg"]
    assert [one["photo_height"][0], one["photo_width"][0]] == [743, 981]
    assert [one["photo_height"][2], one["photo_width"][2]] == [981, 743]
    computed = [c for c in one.columns if c.endswith(("/channel", "/spatial"))]
    computed += [name for name in ("logits", "output", "probability") if name in one.columns]
    rest = [name for name in one.columns if name not in computed]
    assert one[rest].astype(str).equals(other[rest].astype(str))
    for name in computed:
        for row, photo in enumerate(one["name"]):
            a, b = (np.asarray(table[name][row]) for table in (one, other))
            if photo not in LARGE:
                np.testing.assert_allclose(a, b, atol=1e-5)
            elif name.endswith(("/channel", "/spatial")):
                np.testing.assert_allclose(a, b, atol=0.03)
    apart = [
        np.abs(np.asarray(one[name][0]) - np.asarray(other[name][0])).max() for name in computed
    ]
    assert max(apart) > 1e-5  # so it was decoded smaller in the workers too
    with pytest.raises(StoreError, match=r"fast ways \(none there, .*draft now\)"):
        run_batch(loaded, [str(files)], exact, settings)


def test_what_differs_too_much_is_refused_with_the_figure(
    loaded: LoadedModel, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafting, "HALF", 1e-7)
    settings = Settings(view="crop", fast=("draft",))
    says = r"With draft gates of .* differ by 0\.\d+ .* the first 5 photos; 1e-07 is allowed"
    with pytest.raises(ModelError, match=says):
        run_batch(loaded, [str(files)], tmp_path / "store", settings)
    assert not (tmp_path / "store" / "store.json").exists()


class Detector(torch.nn.Module):
    """Own code that draws at random, and gives as many numbers as are above a threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 6, 3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x * torch.sigmoid(x.mean((2, 3)) + torch.randn(1, 6))[:, :, None, None]
        return x[x > 0.11][None]


def test_outputs_of_other_lengths_and_random_numbers_are_no_error(files: Path) -> None:
    torch.manual_seed(0)
    own = wrap_model(Detector().eval(), cbam_viz.InputSpec(size=(64, 64)))
    effect = measure_draft(looker(own, "draft", batch=1), photos_of([str(files)]))
    assert 0 < effect.gates < 0.01  # random numbers would make it 0.1 and more
    assert effect.output == np.inf
    assert "the output in how many values it has." in effect.told


def test_small_photos_are_no_matter(loaded: LoadedModel, photos: Path) -> None:
    effect = measure_draft(looker(loaded, "draft"), photos_of([str(photos)]))
    assert (effect.photos, effect.drafted, effect.gates, effect.output) == (16, 0, 0.0, 0.0)


def test_networks_whose_photos_must_stay_as_they_are(loaded: LoadedModel, files: Path) -> None:
    own = replace(loaded, transform=lambda image: torch.zeros(3, 64, 64))
    spec = cbam_viz.InputSpec(size=(64, 64), crop_mode="letterbox", interpolation="opencv")
    for network, says in ((own, "transform of its own"), (replace(loaded, spec=spec), "opencv")):
        with pytest.raises(ModelError, match=f"{says}.*Leave --fast draft out"):
            measure_draft(looker(network, "draft"), photos_of([str(files)]))
