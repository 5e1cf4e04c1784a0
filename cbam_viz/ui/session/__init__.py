"""What one browser session remembers, and the link that reopens it.

`link` is the settings that a URL carries, `album` the photos that the visitor brought; both know no
Streamlit. `current` is the memory.
"""

from .current import (
    RESETS,
    Memory,
    Recent,
    Upload,
    change,
    choose,
    control,
    forget_linked_model,
    memory,
    note,
    read_url,
    settings,
    take_notes,
    write_url,
)

__all__ = [
    "RESETS",
    "Memory",
    "Recent",
    "Upload",
    "change",
    "choose",
    "control",
    "forget_linked_model",
    "memory",
    "note",
    "read_url",
    "settings",
    "take_notes",
    "write_url",
]
