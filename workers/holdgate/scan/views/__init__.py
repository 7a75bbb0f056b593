"""The forms in which a text is looked at."""

from holdgate.scan.views.leaves import JsonView, Segment, escape, scalar_text, unescape

__all__ = ["JsonView", "Segment", "escape", "scalar_text", "unescape"]
