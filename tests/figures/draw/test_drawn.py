"""Values and places, read back from the artists that were drawn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Text

from cbam_viz.errors import FigureError
from cbam_viz.figures import FigureSpec, Row, Study, build, columns_from_text
from cbam_viz.figures.draw.marks import nice_length
from cbam_viz.figures.wording import range_text, tick_text
from cbam_viz.images import Photo
from cbam_viz.render import absolute_scale, lookup_table, overlay, place

from ..conftest import make_analysis, make_photo


def artist(figure: Figure, gid: str, kind: type):
    (found,) = [one for one in figure.findobj(kind) if one.get_gid() == gid]
    return found


def texts(figure: Figure) -> dict[str, str]:
    return {one.get_gid(): one.get_text() for one in figure.findobj(Text) if one.get_gid()}


def draw(columns: str, analyses, **settings: object) -> Figure:
    spec = FigureSpec(columns=columns_from_text(columns), **settings)  # type: ignore[arg-type]
    return build(spec, analyses).figure


def test_a_map_is_drawn_in_the_colours_of_its_values(one) -> None:
    figure = draw("map:layer2.1.se", one, style="map", frame="photo")
    image = artist(figure, "row 1 column 1", AxesImage)
    layer = one.attention["layer2.1.se"]
    placed = place(layer.spatial[0].numpy(), layer.cells, one.geometry)
    table = lookup_table("viridis").astype(int)
    seen = np.asarray(image.get_array())[placed.seen].astype(int)
    # Neighbours in the table may have one colour, so that a value comes back to within one step.
    position = {tuple(colour): index for index, colour in enumerate(table.tolist())}
    values = np.array([position[tuple(colour)] for colour in seen.tolist()]) / 255
    np.testing.assert_allclose(values, placed.values[placed.seen], atol=1.6 / 255)


def test_an_overlay_is_the_one_of_the_app_on_the_photos_own_pixels(one) -> None:
    figure = draw("input,map:0", one, frame="photo", opacity=0.4)
    layer = one.attention["layer1.0.se"]
    placed = place(layer.spatial[0].numpy(), layer.cells, one.geometry)
    wanted = overlay(
        one.photo.pixels, placed, scale=absolute_scale(), opacity=0.4, mark_unseen=False
    )
    shown = np.asarray(artist(figure, "row 1 column 2", AxesImage).get_array())
    assert np.array_equal(shown[placed.seen], wanted[placed.seen])
    photo = np.asarray(artist(figure, "row 1 column 1", AxesImage).get_array())
    assert np.array_equal(photo, one.photo.pixels)


def test_what_the_network_did_not_see_is_faded(one) -> None:
    figure = draw("map:0", one, frame="photo")
    shown = np.asarray(artist(figure, "row 1 column 1", AxesImage).get_array())
    assert np.array_equal(shown[0], np.rint(one.photo.pixels[0] * 0.38 + 255 * 0.62))


def test_the_seen_part_fills_its_cell_exactly(one) -> None:
    figure = draw("input,map:0", one)
    image = artist(figure, "row 1 column 1", AxesImage)
    top, left, bottom, right = one.geometry.seen
    assert image.axes.get_xlim() == pytest.approx((left, right))
    assert image.axes.get_ylim() == pytest.approx((bottom, top))
    x0, x1, y1, y0 = image.get_extent()
    rows, columns = np.asarray(image.get_array()).shape[:2]
    assert (x1 - x0, y1 - y0) == (columns, rows)
    assert x0 <= left < x0 + 1
    assert y1 - 1 < bottom <= y1
    assert np.array_equal(
        np.asarray(image.get_array()), one.photo.pixels[int(y0) : int(y1), int(x0) : int(x1)]
    )


def test_a_crop_beyond_what_was_seen_is_faded_there(one) -> None:
    figure = draw("map:0", one, rows=(Row(crop=(0, 0, 96, 64)),))
    shown = np.asarray(artist(figure, "row 1 column 1", AxesImage).get_array())
    assert shown.shape[:2] == (96, 64)
    assert np.array_equal(shown[:, 0], np.rint(one.photo.pixels[:, 0] * 0.38 + 255 * 0.62))


def test_bars_have_the_captured_weights(three: Study) -> None:
    figure = draw("channels:-1,channels:0", three)
    for number, row in enumerate(three.analyses, 1):
        for column, name in ((1, "layer2.1.se"), (2, "layer1.0.se")):
            values, edges, baseline = artist(
                figure, f"row {number} column {column}", StepPatch
            ).get_data()
            assert np.array_equal(values, row[0].attention[name].channel[0].numpy())
            assert np.array_equal(edges, np.arange(len(values) + 1))
            assert baseline == 0


def test_bars_may_be_sorted(one) -> None:
    figure = draw("channels:-1", one, order="weight")
    values = artist(figure, "row 1 column 1", StepPatch).get_data().values
    weights = one.attention["layer2.1.se"].channel[0].numpy()
    assert np.array_equal(values, np.sort(weights)[::-1])
    assert (np.diff(values) <= 0).all()


def test_panels_show_mean_and_range_of_the_photos(three: Study) -> None:
    figure = build(FigureSpec(layout="channels"), three).figure
    weights = np.stack([row[0].attention["layer2.0.se"].channel[0] for row in three.analyses])
    line = artist(figure, "panel 2", StepPatch).get_data()
    np.testing.assert_allclose(line.values, weights.mean(axis=0), atol=1e-6)
    band = artist(figure, "panel 2 band", StepPatch).get_data()
    assert np.array_equal(band.values, weights.max(axis=0))
    assert np.array_equal(band.baseline, weights.min(axis=0))


def test_classes_have_the_colours_of_their_means(three: Study) -> None:
    figure = build(FigureSpec(layout="channels", by="class", layer="0"), three).figure
    shown = np.asarray(artist(figure, "weights", AxesImage).get_array())
    weights = np.stack([row[0].attention["layer1.0.se"].channel[0] for row in three.analyses])
    wanted = lookup_table("viridis")[np.rint(weights * 255).astype(int)]
    assert np.array_equal(shown, wanted)


def test_the_depth_strip_shows_all_layers_in_order(one) -> None:
    built = build(FigureSpec(layout="depth"), one)
    shown = texts(built.figure)
    heads = [shown[f"head {number}"] for number in range(1, 5)]
    assert heads == ["Input", "layer1.0", "layer2.0", "layer2.1"]
    lefts = [
        artist(built.figure, f"picture {n}", AxesImage).axes.get_position().x0 for n in range(1, 5)
    ]
    assert lefts == sorted(lefts)


@pytest.mark.parametrize(
    ("blocks", "per_line", "wide"),
    [((2, 2, 2, 2), 5, False), ((2, 3, 3), 6, True), ((1, 2), 4, True), ((3, 3, 1), 4, False)],
)
def test_columns_of_a_strip_are_straight(blocks, per_line, wide) -> None:
    """A wider gap parts two stages, unless that would put one line out of step with another."""
    built = build(FigureSpec(layout="depth", per_line=per_line), make_analysis(blocks=blocks))
    boxes = [
        artist(built.figure, f"picture {n}", AxesImage).axes.get_position()
        for n in range(1, sum(blocks) + 2)
    ]
    lines: dict[float, list[float]] = {}
    for box in boxes:
        lines.setdefault(round(box.y0, 6), []).append(box.x0)
    longest = max(lines.values(), key=len)
    for line in lines.values():
        assert line == pytest.approx(longest[: len(line)], abs=1e-9)
    steps = np.diff(longest)
    assert (steps.max() > steps.min() + 1e-6) == wide


def test_contours_run_along_the_level(one) -> None:
    figure = draw("map:0", one, contours=(0.4,), frame="photo")
    collection = artist(figure, "row 1 column 1 contour 0.4", LineCollection)
    layer = one.attention["layer1.0.se"]
    placed = place(layer.spatial[0].numpy(), layer.cells, one.geometry)
    points = np.concatenate(collection.get_segments())
    assert len(points) > 20
    nearest = placed.values[np.floor(points[:, 1]).astype(int), np.floor(points[:, 0]).astype(int)]
    steepest = max(abs(np.diff(placed.values, axis=axis)).max() for axis in (0, 1))
    assert abs(nearest - 0.4).max() <= steepest


def test_boxes_and_the_seen_crop_are_where_they_are_said_to_be(one) -> None:
    figure = draw(
        "input,map:0", one, frame="photo", mark_seen=True, rows=(Row(boxes=((10, 20, 50, 90),)),)
    )
    for column in (1, 2):
        box = artist(figure, f"row 1 column {column} box 1", Rectangle)
        assert box.get_bbox().extents == pytest.approx((20, 10, 90, 50))
    seen = artist(figure, "row 1 column 1 seen", Rectangle)
    top, left, bottom, right = one.geometry.seen
    assert seen.get_bbox().extents == pytest.approx((left, top, right, bottom))
    assert not [a for a in figure.findobj(Rectangle) if a.get_gid() == "row 1 column 2 seen"]


def test_a_zoom_shows_the_same_pixels_enlarged(one) -> None:
    figure = draw("input", one, frame="photo", rows=(Row(zoom=(16, 24, 40, 56)),))
    image = artist(figure, "row 1 column 1 zoom", AxesImage)
    assert np.array_equal(np.asarray(image.get_array()), one.photo.pixels[16:40, 24:56])
    inset, whole = image.axes.get_position(), figure.axes[0].get_position()
    share = 32 / 128  # of the photo's width that is zoomed
    assert inset.width / whole.width > 1.5 * share
    # The zoomed region is at the upper left, so that the inset is at the lower right.
    assert inset.x1 == pytest.approx(whole.x1, abs=0.01)
    assert inset.y0 == pytest.approx(whole.y0, abs=0.01)


@pytest.mark.parametrize(("unit", "pixels"), [("photo", 1.0), ("input", None)])
def test_a_scale_bar_is_as_long_as_it_says(one, unit: str, pixels: float | None) -> None:
    figure = draw("input", one, frame="photo", scale_bar=unit)
    bar = artist(figure, "row 1 column 1 scale bar", Rectangle)
    length = int(texts(figure)["row 1 column 1 scale bar length"].split()[0])
    assert bar.get_width() == pytest.approx(length * (pixels or one.geometry.scale_x))
    assert 0.1 < bar.get_width() / 128 < 0.4


@pytest.mark.parametrize(
    ("longest", "length"), [(1, 1), (4.9, 2), (5, 5), (9.99, 5), (10, 10), (730, 500), (0.3, 1)]
)
def test_scale_bars_have_round_lengths(longest: float, length: int) -> None:
    assert nice_length(longest) == length


def test_per_map_scales_are_printed_on_the_maps(three: Study) -> None:
    figure = draw("map:0", three, scale="per map")
    shown = texts(figure)
    for number, row in enumerate(three.analyses, 1):
        values = row[0].attention["layer1.0.se"].spatial
        wanted = f"{values.min():.2f} to {values.max():.2f}"
        assert shown[f"row {number} column 1 range"] == wanted
    assert shown["legend title"] == "Spatial attention, each map on its own range"


@pytest.mark.parametrize(
    ("scale", "title"), [("absolute", "absolute scale"), ("shared", "one scale for all")]
)
def test_the_colour_bar_states_the_scale(three: Study, scale: str, title: str) -> None:
    figure = draw("map:0", three, scale=scale)
    assert texts(figure)["legend title"] == f"Spatial attention, {title}"
    bar = artist(figure, "legend", AxesImage)
    assert np.array_equal(np.asarray(bar.get_array())[0], lookup_table("viridis"))
    maps = [row[0].attention["layer1.0.se"].spatial for row in three.analyses]
    ends = ("0", "1") if scale == "absolute" else (
        f"{min(float(m.min()) for m in maps):.2f}", f"{max(float(m.max()) for m in maps):.2f}"
    )  # fmt: skip
    written = {one.get_text() for one in figure.findobj(Text)}
    assert {end.rstrip("0") if "." in end else end for end in ends} <= written


def test_letters_go_where_they_are_asked_for(three: Study) -> None:
    columns = "input,map:0"
    assert texts(draw(columns, three, letters="columns"))["head 2 of block 1"] == "(b) layer1.0"
    rows = texts(draw(columns, three, letters="rows", row_labels="class"))
    assert rows["row 3 label"] == "(c) giraffe"
    cells = texts(draw(columns, three, letters="cells"))
    assert [cells[f"row {r} column {c} letter"] for r in (1, 2, 3) for c in (1, 2)] == [
        f"({letter})" for letter in "abcdef"
    ]


def test_names_are_letters_not_markup() -> None:
    photo = make_photo(name="100 % $x$_a.png")
    figure = draw("input,map:0=$\\alpha$ & _b_", make_analysis(photo), row_labels="name")
    assert texts(figure)["row 1 label"] == "100 % $x$_a"
    assert texts(figure)["head 2 of block 1"] == "$\\alpha$ & _b_"
    build_text = artist(figure, "head 2 of block 1", Text)
    assert not build_text.get_parse_math()


def test_a_large_photo_is_reduced_once_and_the_map_laid_on_the_result() -> None:
    big = make_analysis(make_photo(1200, 3200))
    figure = draw("map:0", big, frame="photo", style="map")
    shown = np.asarray(artist(figure, "row 1 column 1", AxesImage).get_array())
    assert shown.shape == (600, 1600, 3)
    layer = big.attention["layer1.0.se"]
    placed = place(layer.spatial[0].numpy(), layer.cells, big.geometry, (600, 1600))
    inside = placed.seen
    table = lookup_table("viridis")
    wanted = table[np.rint(placed.values.astype(float) * 255).astype(int)]
    off = abs(shown[inside].astype(int) - wanted[inside].astype(int)).max()
    assert off <= 3  # values that lie between two colours


def test_image_dpi_limits_the_pixels(one) -> None:
    figure = draw("input", one, image_dpi=36, width=50, frame="photo")
    shown = np.asarray(artist(figure, "row 1 column 1", AxesImage).get_array())
    # 50 mm at 36 pixels an inch.
    assert shown.shape[1] == pytest.approx(50 / 25.4 * 36, abs=1)


def test_constant_maps_and_gates_beyond_one_are_drawn(one) -> None:
    from dataclasses import replace

    from cbam_viz.attention import Attention

    layer = one.attention["layer1.0.se"]
    flat = replace(
        layer, spatial=layer.spatial * 0 + 0.5, channel=layer.channel * 0 + 1.5, name=layer.name
    )
    odd = replace(one, attention=Attention({layer.name: flat}, None, (64, 64)))
    for scale in ("absolute", "shared", "per map"):
        figure = draw("map:0,channels:0", odd, scale=scale, style="map", contours=(0.5,))
        shown = np.asarray(artist(figure, "row 1 column 1", AxesImage).get_array())
        assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 1
        bars = artist(figure, "row 1 column 2", StepPatch)
        assert bars.axes.get_ylim() == (0, 2)


@pytest.mark.parametrize(
    "row", [Row(crop=(100, 0, 120, 9)), Row(zoom=(0, 130, 9, 140)), Row(boxes=((0, -9, 5, -1),))]
)
def test_regions_beside_the_photo_are_refused(one, row: Row) -> None:
    with pytest.raises(FigureError, match=r"lies outside what is shown of photo0\.png"):
        draw("input", one, rows=(row,))


@pytest.mark.parametrize("size", [(3, 200), (200, 3), (1, 1)])
def test_extreme_photos_do_not_crash(size: tuple[int, int]) -> None:
    photo: Photo = make_photo(*size)
    figure = draw("input,map:0", make_analysis(photo, view="whole"), scale_bar="photo")
    assert all(axes.get_position().width > 0 for axes in figure.axes)


@pytest.mark.parametrize(
    ("value", "span", "text"),
    [
        (0.0, 1.0, "0"),
        (0.00018, 0.9998, "0"),
        (0.99998, 0.9998, "1"),
        (0.5, 1.0, "0.5"),
        (0.4871, 0.052, "0.487"),
        (0.4871, 0.52, "0.49"),
        (-1.5, 3.0, "\N{MINUS SIGN}1.5"),
        (-0.001, 3.0, "0"),
        (250.0, 500.0, "250"),
        (0.5, 0.0, "0.5"),
    ],
)
def test_ticks_are_rounded_to_about_a_hundredth_of_the_scale(value, span, text) -> None:
    assert tick_text(value, span) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.00066, 0.999, "0.00 to 1.00"),
        (3.4e-5, 0.5, "0.00 to 0.50"),
        (0.4871, 0.5391, "0.487 to 0.539"),
        (0.49990, 0.50010, "0.49990 to 0.50010"),
        (0.5, 0.5, "all 0.5"),
        (-2.0, -2.0, "all \N{MINUS SIGN}2"),
        (0.5, 0.50000006, "about 0.5"),
        (-1.5, 1.5, "\N{MINUS SIGN}1.50 to 1.50"),
    ],
)
def test_a_maps_own_range_is_rounded_by_its_length(low: float, high: float, text: str) -> None:
    assert range_text(low, high) == text


def test_a_low_row_is_high_enough_for_its_label(one) -> None:
    panorama = make_analysis(make_photo(20, 200), view="whole")
    figure = draw("input,map:0", panorama, rows=(Row(label="weight 0.86"),))
    assert [text for gid, text in texts(figure).items() if gid and "label" in gid] == [
        "weight", "0.86",
    ]  # fmt: skip


def test_a_scale_bars_length_stays_inside_a_low_picture() -> None:
    panorama = make_analysis(make_photo(20, 200), view="whole")
    figure = draw("input", panorama, scale_bar="photo", width=40.0, venue="free")
    (axes,) = (axes for axes in figure.axes if axes.get_gid() == "row 1 column 1 axes")
    length = next(t for t in figure.texts if t.get_gid() == "row 1 column 1 scale bar length")
    size = length.get_fontsize() / (figure.get_figheight() * 72)
    box = axes.get_position()
    assert box.y0 <= length.get_position()[1] < length.get_position()[1] + 0.75 * size <= box.y1


def test_long_class_names_take_two_lines(one) -> None:
    spec = FigureSpec(
        layout="channels", by="class", width="column", rows=(Row(group="black-and-tan coonhound"),)
    )
    written = texts(build(spec, one).figure)
    assert (written["class 1 line 1"], written["class 1 line 2"]) == ("black-and-tan", "coonhound")
    assert written["head 1"] == "layer2.1"


def test_pictures_two_in_a_line_leave_no_hole(one) -> None:
    figure = build(FigureSpec(layout="depth", per_line=2), one).figure
    tops = [round(axes.get_position().y0, 4) for axes in figure.axes if "picture" in axes.get_gid()]
    assert [tops.count(top) for top in dict.fromkeys(tops)][:-1] == [2] * (len(set(tops)) - 1)


def test_networks_with_like_names_stay_apart_in_headings() -> None:
    names = "Everyday photos, ResNet-18 with CBAM", "Everyday photos, ResNet-18 without CBAM"
    pair = Study((tuple(make_analysis(network=name) for name in names),))
    figure = draw("input,map:0,prediction,prediction@2", pair, width="column")
    shared, own, other = (
        " ".join(t for gid, t in texts(figure).items() if gid and gid.startswith(f"head of {gid_}"))
        for gid_ in ("block 1 over 1 1", "block 1 over 2 1", "block 1 over 2 2")
    )
    assert shared == "Everyday photos"
    assert own == "ResNet-18 with CBAM"
    assert other == "ResNet-18 without CBAM"
