"""Page All layers: every map and its numbers."""
