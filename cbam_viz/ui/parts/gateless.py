"""What is shown of a network without gates, on every page: the photo and what it says of it."""

from __future__ import annotations

import streamlit as st

from cbam_viz.analysis import analyse
from cbam_viz.errors import NoAttentionError
from cbam_viz.images import Photo
from cbam_viz.models import LoadedModel
from cbam_viz.ui import session, words
from cbam_viz.ui.drawing import pictures
from cbam_viz.ui.parts.layout import two_columns
from cbam_viz.ui.parts.prediction import top_classes
from cbam_viz.ui.request import Request

NEXT = (
    "Choose another network in the sidebar; this one can stand beside it, as the second picture of "
    "Explore and on the page Compare."
)


def draw(error: NoAttentionError, photo: Photo, loaded: LoadedModel, request: Request) -> None:
    """Why no gates are shown, and what the network predicts or finds.

    Raises CbamVizError if the network cannot take the photo.
    """
    st.info(words.plain(f"{error.reason} {NEXT}"), icon=":material/info:")
    view = session.settings().view
    found = session.memory().results.analyses.get_or_make(
        ("gateless", photo.sha256, request, view), lambda: analyse(loaded, photo, view, gates=False)
    )
    picture, beside = two_columns("gateless")
    with picture:
        st.image(pictures.preview(found.photo), width="stretch", alt=photo.name)
    with beside:
        top_classes(found)
