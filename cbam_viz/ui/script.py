"""What Streamlit runs for every visitor and every rerun."""

from cbam_viz.ui.shell import main

main()
