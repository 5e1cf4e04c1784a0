"""The numbers of the model card."""
