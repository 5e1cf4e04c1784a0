"""The sample photos are there, readable, small, and say where they are from."""

from __future__ import annotations

from cbam_viz.images import read_photo, samples


def test_samples_are_photos_of_known_size_with_their_source() -> None:
    sizes = {sample.name: read_photo(sample.path).size for sample in samples()}
    assert sizes == {
        "cat": (300, 451),
        "coffee": (400, 500),
        "portrait": (600, 512),
        "raccoon": (768, 1024),
    }
    sources = (samples()[0].path.parent / "SOURCES.md").read_text("utf-8")
    for sample in samples():
        assert f"`{sample.path.name}`" in sources
        assert sample.licence in ("CC0", "public domain")
        assert sample.path.stat().st_size < 150_000


def test_the_cat_is_orange() -> None:
    # Red above blue on the cat's fur: a swap of channels would turn it around.
    cat = read_photo(samples()[0].path).pixels.reshape(-1, 3).mean(0)
    assert cat[0] > cat[1] > cat[2] + 20
