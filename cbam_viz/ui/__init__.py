"""The Streamlit app: pages, sidebar, and what a browser session remembers.

Only this package imports Streamlit. It is thin: photos, networks, gates, pictures and numbers come
from the packages below it.
"""
