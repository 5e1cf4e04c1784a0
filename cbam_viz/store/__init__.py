"""Results on disk: gates as NPZ and CSV, pictures, and safe names for them."""

from cbam_viz.store.files import write_atomic, write_image
from cbam_viz.store.names import safe_name, safe_names
from cbam_viz.store.npz import Stored, load_npz, npz_bytes, save_npz
from cbam_viz.store.provenance import Provenance
from cbam_viz.store.tables import csv_text, statistics_text, write_csv, write_statistics
from cbam_viz.store.zipped import arrays_zip, zip_bytes

__all__ = [
    "Provenance",
    "Stored",
    "arrays_zip",
    "csv_text",
    "load_npz",
    "npz_bytes",
    "safe_name",
    "safe_names",
    "save_npz",
    "statistics_text",
    "write_atomic",
    "write_csv",
    "write_image",
    "write_statistics",
    "zip_bytes",
]
