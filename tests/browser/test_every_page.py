"""Every page at the widths of a desk, a laptop, a tablet and a phone, in the light and the dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbam_viz.ui.entries import ENTRIES
from tests.browser.conftest import settle

pytestmark = pytest.mark.browser

CLIPPED, CONTRASTS = (
    Path(__file__).with_name(name).read_text("utf-8") for name in ("clipped.js", "contrast.js")
)
WIDTHS = (1440, 1024, 768, 390)
WIDER = """() => [document.scrollingElement, document.querySelector("[data-testid=stMain]")]
  .map(one => one.scrollWidth - one.clientWidth)"""


@pytest.mark.parametrize("address", [entry.address for entry in ENTRIES])
def test_nothing_is_cut_too_faint_or_wider_than_the_window(visit, address):
    page = visit(f"/{address}", viewport={"width": WIDTHS[0], "height": 900})
    page.wait_for_timeout(1000)  # Streamlit loads what draws charts and equations on its own
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        for _ in range(20):  # charts and equations follow the window a moment later
            if max(page.evaluate(WIDER)) <= 1:
                break
            page.wait_for_timeout(250)
        assert max(page.evaluate(WIDER)) <= 1, width
        assert page.evaluate(CLIPPED) == [], width
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        settle(page)
        found = page.evaluate(CONTRASTS)
        assert len(found) > 20
        assert [one for one in found if one["ratio"] < 4.5] == [], scheme
