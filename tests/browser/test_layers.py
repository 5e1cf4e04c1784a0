"""All layers at every width, and channel weights that can be seen, counted and reached by keys."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

import cbam_viz
from cbam_viz.images import read_photo, samples

pytestmark = pytest.mark.browser

WIDTHS = (390, 768, 1024, 1440, 1920)
CARDS = "button.card"
BARS = ".bars svg"
SPREAD = ".spread svg"
UNTRAINED = "model=untrained&arch=resnet50"

ROWS = """grid => {
  const main = document.querySelector("[data-testid=stMainBlockContainer]")
  const style = getComputedStyle(main)
  const inner = main.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
  const rows = new Map()
  for (const card of grid.querySelectorAll(".card")) {
    const box = card.getBoundingClientRect()
    const row = Math.round(box.top)
    rows.set(row, [...(rows.get(row) ?? []), box.width])
  }
  return [inner, [...rows.values()]]
}"""


@pytest.fixture(scope="module")
def weights(checkpoint_folder) -> dict[str, np.ndarray]:
    """Channel weights of the first sample, by the Python API."""
    loaded = cbam_viz.load_model(checkpoint_folder / "test.safetensors")
    found = cbam_viz.analyse(loaded, read_photo(samples()[0].path)).attention
    return {name: layer.channel[0].numpy() for name, layer in found.items()}


def drawn_bars(page) -> dict[int, tuple[float, float, float, float, str]]:
    """Left, top, width, height and colour of each channel's bar, in pixels of the page."""
    page.locator(f"{BARS} rect[data-channel]").first.wait_for(state="attached")
    found = page.locator(BARS).evaluate(
        """svg => {
          const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width
          return [...svg.querySelectorAll("rect[data-channel]")].map(bar => [
            Number(bar.dataset.channel),
            ...["x", "y", "width", "height"].map(side => scale * Number(bar.getAttribute(side))),
            bar.style.fill])
        }"""
    )
    return {channel: tuple(rest) for channel, *rest in found}


@pytest.mark.parametrize("network", ["", UNTRAINED])
def test_full_rows_fill_the_page_at_every_width(visit, network):
    """Of 8 and of 16 layers; the rest of a row are the gaps between its cards."""
    page = visit(f"/layers?{network}", viewport={"width": WIDTHS[0], "height": 1000})
    count = 16 if network else 8
    page.locator(CARDS).nth(count - 1).wait_for()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(500)
        inner, rows = page.locator(".gallery .grid").evaluate(ROWS)
        columns = len(rows[0])
        assert sum(len(row) for row in rows) == count
        assert all(len(row) == columns for row in rows[:-1])
        for row in rows:
            empty = 1 - sum(row) / inner
            assert len(row) < columns or -0.001 <= empty <= 0.03, (width, row)
            assert 150 <= row[0] <= 481
        sharp = page.locator("img.picture").first.evaluate("img => img.naturalWidth / img.width")
        assert sharp >= 1, width


def test_cards_are_called_what_people_call_their_layers(visit):
    page = visit("/layers")
    page.locator(CARDS).first.wait_for()
    called = [f"stage {at}, block {block}" for at in (1, 2, 3, 4) for block in (1, 2)]
    assert page.locator(f"{CARDS} .name").all_inner_texts() == called
    assert page.locator(f"{CARDS} .path").all_inner_texts() == [
        f"layer{at}.{block}.se" for at in (1, 2, 3, 4) for block in (0, 1)
    ]
    heads = page.locator(".gallery h3").all_inner_texts()
    assert [re.sub(r"\s*2 layers", "", head) for head in heads] == [
        f"Stage {at}" for at in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize(("layer", "count"), [("layer3.5.se", 1024), ("layer4.2.se", 2048)])
def test_no_bar_is_thinner_than_a_pixel(visit, layer, count):
    """And no two lie in each other's place, where there are thousands on a phone too."""
    page = visit(f"/?{UNTRAINED}&layer={layer}", viewport={"width": 390, "height": 1000})
    for width in (390, 760, 1440):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(500)
        bars = drawn_bars(page)
        assert sorted(bars) == list(range(count))
        assert min(bar[2] for bar in bars.values()) >= 1
        feet = {}
        for left, top, wide, high, _ in bars.values():
            feet.setdefault(round(top + high), []).append((left, left + wide))
        for row in feet.values():
            row.sort()
            assert all(end <= left + 1e-6 for (_, end), (left, _) in itertools.pairwise(row))
        assert {round(wide, 6) for _, _, wide, _, _ in bars.values()} <= {1, 2, 3, 4}


def test_of_equal_weights_none_is_marked_as_higher(visit):
    page = visit(f"/?{UNTRAINED}&layer=layer1.0.se")
    assert len({bar[4] for bar in drawn_bars(page).values()}) == 1
    assert page.locator(".bars .legend").inner_text() == "all 256 weights are equal (0.500)"
    page.locator(BARS).focus()
    page.keyboard.press("Home")
    text = "channel 0 · weight 0.500 · the same as all 256"
    assert page.locator(".bars .readout").inner_text() == text
    assert page.locator(BARS).get_attribute("aria-valuetext") == text


def test_the_ten_highest_are_marked_and_named(visit, weights):
    values = weights["layer3.0.se"]
    page = visit("/?layer=layer3.0.se")
    bars = drawn_bars(page)
    colours = [bars[channel][4] for channel in range(len(values))]
    rare = min(set(colours), key=colours.count)
    marked = {channel for channel, colour in enumerate(colours) if colour == rare}
    assert marked == set(np.argsort(-values)[:10].tolist())
    assert "10 highest" in page.locator(".bars .legend").inner_text()


def test_the_histogram_counts_and_the_keyboard_reads_it(visit, weights):
    values = weights["layer4.1.se"]
    counts, edges = np.histogram(np.round(values.astype(float), 6), np.arange(21) / 20)
    page = visit("/?layer=layer4.1.se")
    page.locator(f"{SPREAD} rect").first.wait_for(state="attached")
    found = page.locator(f"{SPREAD} rect").evaluate_all(
        "bars => bars.map(bar => [Number(bar.dataset.count), Number(bar.getAttribute('height'))])"
    )
    assert [count for count, _ in found] == counts.tolist()
    heights = np.array([height for _, height in found])
    expected = np.where(counts, np.maximum(2, 110 * counts / counts.max()), 0)
    np.testing.assert_allclose(heights, expected, atol=1e-3)

    spread = page.locator(SPREAD)
    spread.focus()
    page.keyboard.press("Home")
    for at, count in enumerate(counts):
        share = f"{100 * count / len(values):.1f}"
        text = (
            f"weights {edges[at]:.2f} to {edges[at + 1]:.2f}: {count} of {len(values)} channels "
            f"({share} %)"
        )
        assert spread.get_attribute("aria-valuetext") == text
        assert page.locator(".spread .readout").inner_text() == text
        page.keyboard.press("ArrowRight")
    assert f"{len(values)} channels" in page.locator(".spread .told").inner_text()
    for at in np.flatnonzero(counts):
        assert f"{edges[at]:.2f} to {edges[at + 1]:.2f}: {counts[at]}" in spread.get_attribute(
            "aria-label"
        )


@pytest.mark.parametrize(("width", "beside"), [(390, False), (1440, False), (1024, True)])
def test_the_histogram_stands_beside_the_bars_where_there_is_room(visit, width, beside):
    """At 1024 pixels the panel is below the picture and as wide as the page."""
    page = visit("/?layer=layer4.1.se", viewport={"width": width, "height": 1000})
    page.locator(f"{SPREAD} rect").first.wait_for(state="attached")
    bars, spread = (page.locator(part).bounding_box() for part in (".bars", ".spread"))
    if beside:
        assert spread["x"] >= bars["x"] + bars["width"]
    else:
        assert spread["y"] >= bars["y"] + bars["height"]
        assert spread["x"] == pytest.approx(bars["x"], abs=1)


def test_hovering_a_bar_names_its_channel_and_weight(visit, weights):
    values = weights["layer1.0.se"]
    page = visit("/?layer=layer1.0.se")
    drawn_bars(page)
    box = page.locator(f"{BARS} rect[data-channel='7']").bounding_box()
    whole = page.locator(BARS).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, whole["y"] + 20)
    rank = 1 + int((values > values[7]).sum())
    assert page.locator(".bars .readout").inner_text() == (
        f"channel 7 · weight {values[7]:.3f} · rank {rank} of 64"
    )
