"""Where photos come from: folders, files, patterns, tar archives, tables.

`listing` names every photo, in an order that is always the same, and `opening` gives its bytes.
"""
