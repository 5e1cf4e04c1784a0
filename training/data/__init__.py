"""Photos: listed, decoded once, cut into views and frames, and given out in batches."""
