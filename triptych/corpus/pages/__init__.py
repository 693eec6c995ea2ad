"""Readers of folders of linked pages: Markdown and HTML."""
