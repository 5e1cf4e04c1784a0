"""What several pages show: pictures, the list of layers, channel weights, downloads."""
