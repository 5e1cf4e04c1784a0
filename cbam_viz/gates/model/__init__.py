"""A network's modules: which there are, what they keep, what is put on them and taken off again."""
