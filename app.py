"""`streamlit run app.py` starts cbam-viz in the browser."""

import streamlit as st

from cbam_viz.ui.server import MIDDLEWARE, SCRIPT, preload, show_unexpected

app = st.App(SCRIPT, lifespan=preload, middleware=MIDDLEWARE, on_script_error=show_unexpected)
