"""The text of an XML document as its reader sees it: runs joined, entities undone. No parser, so nothing is expanded.

What always holds: a document that defines entities of its own is `Unscannable`, since its text is not what is written.
"""

from __future__ import annotations

import html
import re

from holdgate.scan.errors import Unscannable

_BEGIN = re.compile(r"\s*(?:<\?xml|<!DOCTYPE|<!--|<[A-Za-z_][\w:.-]*[\s/>])")
_BREAKS = re.compile(
    r"</?(?:\w+:)?(?:p|br|tab|tr|row|c|cr|h|li|si|table-row|table-cell|line-break|tc)(?:\s[^<>]*)?/?>", re.ASCII
)
"""Ends of paragraphs, cells and lines in documents, tables, slides and pages."""
_TAG = re.compile(r"<!--|-->|<!\[CDATA\[|\]\]>|<[^<>]*>")


def is_xml(text: str) -> bool:
    """Whether it begins like XML or HTML."""
    return _BEGIN.match(text) is not None


def joined_text(text: str) -> str:
    """The text between the tags: what stands in one paragraph or cell is one line, however many runs it is cut into."""
    if "<!ENTITY" in text:
        raise Unscannable("an XML document defines entities of its own")
    return html.unescape(_TAG.sub("", _BREAKS.sub("\n", text)))
