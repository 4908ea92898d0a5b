"""Edits made in the text of a JSON or YAML document, by splicing: whatever no edit names stays byte for byte.

`read_document` gives the document, `edited` makes the rewriter's edits in it and proves the outcome: what the new text
says is what the edits make of what the old one said. Pure, and nothing in a document is ever constructed.
"""

from outrider_cdk.editing.document import Document, edited, read_document
from outrider_cdk.editing.errors import Uneditable, Unreadable

__all__ = ["Document", "Uneditable", "Unreadable", "edited", "read_document"]
