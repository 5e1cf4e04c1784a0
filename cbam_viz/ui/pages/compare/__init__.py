"""Page Compare: networks or photos beside each other, layer by layer."""
