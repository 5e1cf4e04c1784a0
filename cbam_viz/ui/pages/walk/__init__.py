"""Page How it works: CBAM step by step."""
