"""Page Explore: one layer on the photo."""
