"""OpenCV, or one sentence on what keeps it from loading."""

from __future__ import annotations

from cbam_viz._compat import load_cv2

cv2 = load_cv2()
