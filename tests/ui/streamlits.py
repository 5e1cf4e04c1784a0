"""Names that belong to Streamlit and that it does not promise to keep: all that tests know of them.

AppTest opens pages that are files; the app's are functions. Where a version of Streamlit renames
what is used here, this is the only place to change.
"""

from __future__ import annotations

from pathlib import Path

from streamlit import config
from streamlit.testing.v1 import AppTest

from cbam_viz.ui.session import Memory


def memory(app: AppTest) -> Memory:
    """What the app remembers of this session."""
    found: Memory = app.session_state["cbam_viz_memory"]
    return found


def turn_to(app: AppTest, address: str) -> None:
    """The next run is of another page of the same session."""
    app._page_hash = memory(app).pages[address]._script_hash


def go_to(app: AppTest, address: str) -> AppTest:
    """Open another page of the same session."""
    turn_to(app, address)
    return app.run()


def settings_beside(script: Path) -> None:
    """Read Streamlit's settings anew, as `streamlit run SCRIPT` does."""
    config._main_script_path = str(script)
    config.get_config_options(force_reparse=True)
