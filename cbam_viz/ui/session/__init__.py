"""What one browser session remembers, and the link that reopens it.

`link` is the settings that a URL carries and all pages share, `page_settings` those of one page
alone, `album` the photos that the visitor brought, `results` what was made of them; none of these
knows Streamlit. `current` is the one memory that holds them, and the one `control`.
"""

from .current import (
    Memory,
    Upload,
    change,
    choose,
    control,
    forget_linked_model,
    keep,
    memory,
    note,
    open_page,
    page_settings,
    settings,
    take_notes,
    uploaded,
    write_url,
)
from .results import Recent, Results

__all__ = [
    "Memory",
    "Recent",
    "Results",
    "Upload",
    "change",
    "choose",
    "control",
    "forget_linked_model",
    "keep",
    "memory",
    "note",
    "open_page",
    "page_settings",
    "settings",
    "take_notes",
    "uploaded",
    "write_url",
]
