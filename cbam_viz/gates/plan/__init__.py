"""What a watched forward showed, for later ones, which plain hooks then suffice for.

A plan is a value: made once (`learn`), kept in the model's `table`, passed on, never changed.
"""
