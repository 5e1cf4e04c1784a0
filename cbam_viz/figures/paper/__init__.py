"""The page: type, texts and axes at exact places, and the page as the bytes of a file."""
