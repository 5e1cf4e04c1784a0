"""What stands in a figure, computed from networks and photos: nothing is drawn here."""
