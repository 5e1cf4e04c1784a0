"""Page What if: other gates in the place of its own, and what each of them does."""
