"""`python -m cbam_viz` is the `cbam-viz` command."""

from cbam_viz.cli import main

if __name__ == "__main__":
    main()
