"""The files themselves, read by other programs than the one that wrote them."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pypdf
import pytest
from PIL import Image

from cbam_viz.errors import FigureError, StoreError
from cbam_viz.figures import (
    FORMATS,
    FigureSpec,
    Study,
    build,
    columns_from_text,
    format_of,
    render,
    venue,
    venues,
)
from cbam_viz.figures.beside.preview import grey_print, pdf_to_png

from ..conftest import make_analysis, make_photo

COLUMNS = columns_from_text("input,map:0,map:-1,channels:-1,prediction")
BUNDLED = {"font": "STIXGeneral"}


def tool(name: str, *arguments: str) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"{name} (poppler-utils) is not installed")
    done = subprocess.run([name, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("key", list(venues()))
@pytest.mark.parametrize("width", ["column", "text"])
def test_the_media_box_has_the_venues_width(one, key: str, width: str) -> None:
    pdf = build(FigureSpec(venue=key, width=width), one).render("pdf")
    (page,) = pypdf.PdfReader(io.BytesIO(pdf)).pages
    assert float(page.mediabox.width) == pytest.approx(venue(key).width(width), abs=0.5)
    assert page.mediabox == page.cropbox
    assert float(page.mediabox.height) <= venue(key).text_height


def test_a_width_in_millimetres_is_exact(one) -> None:
    pdf = build(FigureSpec(venue="free", width=123.4), one).render("pdf")
    (page,) = pypdf.PdfReader(io.BytesIO(pdf)).pages
    assert float(page.mediabox.width) == pytest.approx(123.4 / 25.4 * 72, abs=0.01)


def test_fonts_are_embedded_as_truetype(one, tmp_path: Path) -> None:
    file = tmp_path / "figure.pdf"
    file.write_bytes(build(FigureSpec(columns=COLUMNS, **BUNDLED), one).render("pdf"))
    fonts = tool("pdffonts", str(file)).splitlines()[2:]
    assert fonts
    for line in fonts:
        assert "Type 3" not in line
        assert "TrueType" in line
        embedded, subset, unicode = line.split()[-5:-2]
        assert (embedded, subset, unicode) == ("yes", "yes", "yes")
    assert any("STIXGeneral" in line for line in fonts)


def test_text_can_be_read_from_the_pdf(one) -> None:
    pdf = build(FigureSpec(columns=COLUMNS, row_labels="class", **BUNDLED), one).render("pdf")
    text = pypdf.PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    for words in ("Input", "layer1.0", "tabby", "0.90", "Spatial attention, absolute scale"):
        assert words in text


def test_pictures_are_embedded_pixel_by_pixel(tmp_path: Path) -> None:
    analysis = make_analysis(make_photo(120, 200))
    built = build(
        FigureSpec(columns=columns_from_text("input,map:0"), frame="photo", width="column"),
        analysis,
    )
    file = tmp_path / "figure.pdf"
    file.write_bytes(built.render("pdf"))
    rows = [line.split() for line in tool("pdfimages", "-list", str(file)).splitlines()[2:]]
    assert [(row[3], row[4]) for row in rows[:2]] == [("200", "120")] * 2
    assert {row[2] for row in rows} == {"image"}  # no masks
    assert {row[9] for row in rows} == {"no"}  # viewers are not asked to blur
    tool("pdfimages", "-png", str(file), str(tmp_path / "image"))
    first = np.asarray(Image.open(tmp_path / "image-000.png").convert("RGB"))
    assert np.array_equal(first, analysis.photo.pixels)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("layout", ["grid", "depth", "channels"])
def test_the_same_figure_gives_the_same_bytes(one, file_format: str, layout: str) -> None:
    spec = FigureSpec(layout=layout, contours=(0.5,), letters="cells", width="column")
    built = build(spec, one)
    first = built.render(file_format, dpi=72)
    assert built.render(file_format, dpi=72) == first
    assert build(spec, make_analysis()).render(file_format, dpi=72) == first


_SCRIPT = """
import sys, hashlib
sys.path.insert(0, sys.argv[1])
from tests.figures.conftest import make_analysis
from cbam_viz.figures import FigureSpec, build, columns_from_text
columns = columns_from_text("input,map:0,channels:-1,prediction")
built = build(FigureSpec(columns=columns, contours=(0.4, 0.5), font="STIXGeneral"), make_analysis())
for one in ("pdf", "svg", "png", "tiff"):
    print(hashlib.sha256(built.render(one, dpi=72)).hexdigest())
assert "matplotlib.pyplot" not in sys.modules
"""


def test_other_processes_give_the_same_bytes_and_need_no_pyplot() -> None:
    root = str(Path(__file__).parents[3])
    runs = [
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, root],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("77", "Asia/Tokyo"))
    ]
    assert runs[0].count("\n") == 4
    assert runs[0] == runs[1]


HOSTILE = {
    "text.usetex": True, "savefig.bbox": "tight", "savefig.dpi": 17, "font.size": 31,
    "lines.linewidth": 9, "lines.linestyle": ":", "lines.marker": "o", "patch.linewidth": 7,
    "axes.linewidth": 5, "axes.facecolor": "red", "figure.facecolor": "blue",
    "figure.autolayout": True, "font.family": ["DejaVu Serif"], "text.color": "green",
    "image.interpolation": "bicubic", "image.origin": "lower", "image.resample": False,
    "pdf.fonttype": 3, "svg.fonttype": "path", "pdf.compression": 0, "axes.xmargin": 0.3,
    "axes.grid": True, "text.parse_math": True, "axes.unicode_minus": False,
    "patch.antialiased": False, "lines.antialiased": False, "text.antialiased": False,
    "image.composite_image": True, "path.simplify": False, "lines.solid_capstyle": "round",
    "patch.edgecolor": "pink", "lines.scale_dashes": False, "figure.dpi": 33,
    "figure.edgecolor": "red", "figure.frameon": False, "axes.axisbelow": True,
}  # fmt: skip


@pytest.mark.parametrize("file_format", FORMATS)
def test_nobodys_settings_change_a_figure_and_it_changes_nobodys(file_format: str) -> None:
    spec = FigureSpec(
        columns=COLUMNS,
        contours=(0.5,),
        mark_seen=True,
        frame="photo",
        scale_bar="photo",
        **BUNDLED,
    )
    analysis = make_analysis()
    wanted = build(spec, analysis).render(file_format, dpi=72)
    with mpl.rc_context():
        mpl.rcParams.update(HOSTILE)
        before = dict(mpl.rcParams)
        assert build(spec, analysis).render(file_format, dpi=72) == wanted
        assert dict(mpl.rcParams) == before


def test_threads_do_not_mix_their_figures() -> None:
    specs = [FigureSpec(columns=COLUMNS, width=60 + n, **BUNDLED) for n in range(4)]
    analysis = make_analysis()
    wanted = [build(spec, analysis).render("pdf") for spec in specs]
    start = threading.Barrier(4)

    def run(number: int) -> list[bytes]:
        start.wait()
        return [build(specs[number], analysis).render("pdf") for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(run, range(4)), wanted, strict=True):
            assert found == [expected] * 3


def test_no_file_tells_time_or_version(one) -> None:
    for file_format in FORMATS:
        data = build(FigureSpec(), one).render(file_format, dpi=72)
        assert mpl.__version__.encode() not in data
        assert b"CreationDate" not in data
        assert not re.search(rb"dc:date|tEXtSoftware", data)


def test_svg_keeps_letters_and_pictures(one) -> None:
    import base64

    svg = build(FigureSpec(columns=COLUMNS, frame="photo", **BUNDLED), one).render("svg").decode()
    assert ">layer1.0</text>" in svg
    assert "STIXGeneral" in svg
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    assert float(width) == pytest.approx(495)
    images = re.findall(r"data:image/png;base64,\s*([^\"]+)", svg)
    sizes = {Image.open(io.BytesIO(base64.b64decode(data))).size for data in images}
    assert one.photo.size[::-1] in sizes
    assert float(height) > 50


def test_svg_carries_the_letters_that_it_uses() -> None:
    import base64

    from fontTools.ttLib import TTFont

    analysis = make_analysis(make_photo(name="Grüße Ωß.png"))
    spec = FigureSpec(columns=COLUMNS, row_labels="name", **BUNDLED)
    svg = build(spec, analysis).render("svg").decode()
    name, data = re.search(r"font-family:'([^']+)'[^}]*base64,([^)]+)\)", svg).groups()  # type: ignore[union-attr]
    assert name == "STIXGeneral"
    font = TTFont(io.BytesIO(base64.b64decode(data)))
    letters = {chr(code) for code in font.getBestCmap()}
    assert set("Grüße Ωß") | set("Spatial attention, absolute scale") <= letters
    assert "Q" not in letters
    assert len(data) < 40_000


@pytest.mark.parametrize("file_format", ["png", "tiff"])
@pytest.mark.parametrize("dpi", [72, 300])
def test_pixels_follow_the_resolution(one, file_format: str, dpi: int) -> None:
    data = build(FigureSpec(width=100, venue="free"), one).render(file_format, dpi=dpi)
    image = Image.open(io.BytesIO(data))
    assert image.width == pytest.approx(100 / 25.4 * dpi, abs=1)
    assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.1)
    assert image.mode == "RGB"


def test_resolutions_and_formats_have_limits(one) -> None:
    figure = build(FigureSpec(), one).figure
    with pytest.raises(FigureError, match="36 to 1200"):
        render(figure, "png", dpi=5)
    with pytest.raises(FigureError, match="Choose pdf"):
        render(figure, "jpeg")  # type: ignore[arg-type]
    assert [format_of(name) for name in ("a.PDF", "b.tif", "c.x.svg")] == ["pdf", "tiff", "svg"]
    for name in ("figure", "figure.jpg", "pdf"):
        with pytest.raises(FigureError, match="says no format") if name != "pdf" else _nothing():
            format_of(name)


def _nothing():
    from contextlib import nullcontext

    return nullcontext()


def test_saving_writes_what_rendering_gives_and_overwrites_nothing(one, tmp_path: Path) -> None:
    built = build(FigureSpec(width=60, venue="free"), one)
    for name in ("f.pdf", "f.TIF", "f.png"):
        path = built.save(tmp_path / name, dpi=90)
        assert path.read_bytes() == built.render(format_of(name), dpi=90)
    with pytest.raises(StoreError, match="exists"):
        built.save(tmp_path / "f.pdf")
    built.save(tmp_path / "f.pdf", force=True)


def test_a_figure_shows_itself_in_notebooks(one) -> None:
    figure = build(FigureSpec(width=100, venue="free"), one).figure
    image = Image.open(io.BytesIO(figure._repr_png_()))
    assert image.width == pytest.approx(100 / 25.4 * 110, abs=1)


def test_rendering_leaves_the_figure_as_it_was(one) -> None:
    figure = build(FigureSpec(), one).figure
    before = figure.dpi, figure.canvas, tuple(figure.get_size_inches())
    for file_format in FORMATS:
        render(figure, file_format, dpi=90)
    assert (figure.dpi, figure.canvas, tuple(figure.get_size_inches())) == before


def test_the_preview_is_drawn_from_the_pdf_itself(one) -> None:
    built = build(FigureSpec(width=100, venue="free"), one)
    shown = np.asarray(Image.open(io.BytesIO(pdf_to_png(built.render("pdf"), dpi=144))), float)
    direct = np.asarray(Image.open(io.BytesIO(built.render("png", dpi=144))), float)
    height, width = min(shown.shape[0], direct.shape[0]), min(shown.shape[1], direct.shape[1])
    assert abs(shown.shape[1] - direct.shape[1]) <= 1
    assert abs(shown[:height, :width] - direct[:height, :width]).mean() < 8
    with pytest.raises(FigureError, match="no PDF"):
        pdf_to_png(b"nothing")


def test_the_grey_preview_is_luminance(one) -> None:
    png = build(FigureSpec(width=60, venue="free"), one).render("png", dpi=72)
    colour = np.asarray(Image.open(io.BytesIO(png)), float)
    grey = Image.open(io.BytesIO(grey_print(png)))
    assert grey.mode == "L"
    wanted = colour @ (0.299, 0.587, 0.114)
    assert abs(np.asarray(grey, float) - wanted).max() <= 1.01


def test_every_layout_fits_its_page() -> None:
    many = Study(tuple((make_analysis(seed=seed),) for seed in range(8)))
    few = Study(many.analyses[:1])
    for key in ("cvpr", "eccv", "ieee"):
        for layout, study in (("grid", many), ("depth", few), ("channels", many)):
            spec = FigureSpec(layout=layout, venue=key, width="column", columns=COLUMNS)
            height = build(spec, study).figure.get_size_inches()[1] * 72
            assert 40 < height <= venue(key).text_height
