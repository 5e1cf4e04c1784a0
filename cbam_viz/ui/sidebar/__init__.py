"""The controls beside every page: the photo, and the network."""
