"""What one browser session remembers, and the link that reopens it.

`link` is the settings that a URL carries, and knows no Streamlit; `current` is the memory.
"""

from .current import (
    Memory,
    Recent,
    Upload,
    change,
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
    "Memory",
    "Recent",
    "Upload",
    "change",
    "control",
    "forget_linked_model",
    "memory",
    "note",
    "read_url",
    "settings",
    "take_notes",
    "write_url",
]
