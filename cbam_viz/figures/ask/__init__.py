"""What a figure shows and how, as values: no networks, no drawing."""
