"""Folders of pages that link to each other: Markdown and HTML."""
