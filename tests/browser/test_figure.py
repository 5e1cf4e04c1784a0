"""The page Figure in a real browser: what one sees is the file that one gets."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pypdf
import pytest
from PIL import Image

from cbam_viz.figures.beside.manifest import read_manifest
from cbam_viz.figures.beside.preview import pdf_to_png
from cbam_viz.figures.remake import remake

pytestmark = pytest.mark.browser


def wait(page) -> None:
    page.wait_for_timeout(400)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.get_by_text("The preview is this very file").wait_for()
    page.wait_for_timeout(300)


def download(page, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).first.click()
    return Path(waiting.value.path()).read_bytes()


def preview(page) -> np.ndarray:
    """The pixels of the picture that the page shows."""
    source = page.get_by_test_id("stImage").locator("img").first.get_attribute("src")
    answer = page.request.get(urljoin(page.url, source))
    return np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB"))


def test_the_preview_is_the_file_that_downloads(visit) -> None:
    page = visit("/figure")
    wait(page)
    pdf = download(page, "Figure (PDF)")
    (sheet,) = pypdf.PdfReader(io.BytesIO(pdf)).pages
    assert float(sheet.mediabox.width) == pytest.approx(495, abs=0.5)
    drawn = np.asarray(Image.open(io.BytesIO(pdf_to_png(pdf))).convert("RGB"))
    assert np.array_equal(preview(page), drawn)


def test_a_bundle_with_an_upload_makes_the_same_figure_again(
    visit, checkpoint_folder: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (80, 120, 3), np.uint8)).save(buffer, "PNG")
    page = visit("/figure")
    wait(page)
    chooser = page.get_by_test_id("stMain").get_by_test_id("stFileUploaderDropzoneInput")
    chooser.set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    )
    page.get_by_text("Row 2: mine.png").wait_for()
    wait(page)
    with zipfile.ZipFile(io.BytesIO(download(page, "Everything (ZIP)"))) as archive:
        archive.extractall(tmp_path)
    assert (tmp_path / "photos" / "2-mine.png").read_bytes() == buffer.getvalue()
    manifest = read_manifest(tmp_path / "figure.manifest.json")
    remade = remake(manifest, tmp_path, search=(checkpoint_folder,))
    assert remade.files["figure.pdf"] == (tmp_path / "figure.pdf").read_bytes()
