"""Page Figure: a figure for a paper."""
