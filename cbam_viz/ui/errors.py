"""The one place where an exception becomes a sentence on the page."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from cbam_viz.errors import CbamVizError, NoAttentionError
from cbam_viz.ui.words import plain

log = logging.getLogger("cbam_viz.app")

UNEXPECTED = (
    "Something went wrong on our side, and the server's log says what. "
    "Your session goes on: try again, or choose another image or network."
)
GATELESS = (
    "Choose another network in the sidebar. What this one predicts or finds, the command "
    "cbam-viz show says; one of the server's own can stand beside a network with gates, as the "
    "second picture of Explore."
)


@contextmanager
def boundary() -> Iterator[None]:
    """Show what a user can mend in its own words, and anything else in one sentence.

    Streamlit's own StopException and RerunException are BaseExceptions and pass through.
    """
    try:
        yield
    except CbamVizError as error:
        st.error(plain(_sentence(error)), icon=":material/error:")
    except ModuleNotFoundError as error:
        log.warning("a page needs what is not installed", exc_info=True)
        st.error(plain(not_installed(error)), icon=":material/error:")
    except Exception:
        log.exception("unexpected error while a page was drawn")
        st.error(UNEXPECTED, icon=":material/error:")


def _sentence(error: CbamVizError) -> str:
    """The error's text, with what to do in the app's own words where its own are of Python."""
    return f"{error.reason} {GATELESS}" if isinstance(error, NoAttentionError) else str(error)


def not_installed(error: ModuleNotFoundError) -> str:
    """What to install; the app's extra brings all that its pages import."""
    package = (error.name or "a package").partition(".")[0]
    return (
        f"This page needs {package}, which is not installed where the app runs: "
        'pip install "cbam-viz[app]".'
    )


def show_unexpected(error: Exception) -> bool:
    """For errors outside any page, in a widget's callback, say. True: nothing more is shown."""
    if isinstance(error, CbamVizError):
        st.error(plain(_sentence(error)), icon=":material/error:")
    else:
        log.error("unexpected error in the app", exc_info=error)
        st.error(UNEXPECTED, icon=":material/error:")
    return True
