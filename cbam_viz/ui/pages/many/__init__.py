"""Page Many photos: what a store says of a network's gates."""
