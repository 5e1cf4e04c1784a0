"""ZIP archives whose bytes depend on their content alone: not on the clock, nor on the system."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_UNIX = 3
"""Written down as the system that the archive comes from, also on Windows."""


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed ZIP of files by name; members are dated 1980-01-01 and readable by all."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)  # made by hand it carries 1980-01-01, always
            info.create_system = _UNIX
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def arrays_zip(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The same as `numpy.savez` writes, of arrays by name; nothing is pickled."""
    members = {}
    for key, array in arrays.items():
        member = io.BytesIO()
        np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
        members[f"{key}.npy"] = member.getvalue()
    return zip_bytes(members)
