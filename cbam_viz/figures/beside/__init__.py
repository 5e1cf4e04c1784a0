"""What goes beside a figure: caption, LaTeX, tables, manifest. Nothing is drawn here."""
