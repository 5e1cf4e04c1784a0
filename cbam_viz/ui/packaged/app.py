"""The checkout's app.py for installations that have none; a folder of its own, because Streamlit
puts the script's folder on the import path.
"""

import streamlit as st

from cbam_viz.ui.server import MIDDLEWARE, SCRIPT, preload, show_unexpected

app = st.App(SCRIPT, lifespan=preload, middleware=MIDDLEWARE, on_script_error=show_unexpected)
