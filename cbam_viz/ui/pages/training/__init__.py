"""Page Training: how gates changed from epoch to epoch of a training run."""
