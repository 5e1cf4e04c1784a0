"""What stands on a photo in the app, as values and bytes; no Streamlit and no scene here."""
