"""Documentation in formats that are not read, and what turns it into pages that are."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

_HTML = "and name the folder with the HTML pages"
_PANDOC = "convert each (pandoc -t gfm -o page.md FILE) and name the folder with the Markdown pages"
_ADVICE = {
    "reStructuredText": ((".rst", ".rest"), f"build it (sphinx-build -b html) {_HTML}"),
    "AsciiDoc": ((".adoc", ".asciidoc", ".asc"), f"build it (Antora, or asciidoctor for each file) {_HTML}"),
    "Jupyter notebooks": (
        (".ipynb",),
        "convert them (jupyter nbconvert --to markdown) and name the folder with the Markdown pages",
    ),
    "DITA": ((".dita", ".ditamap"), f"build it (dita --format=html5) {_HTML}"),
    "Writerside topics": ((".topic",), f"build the site {_HTML}"),
    "Texinfo": ((".texi", ".texinfo"), f"build it (makeinfo --html) {_HTML}"),
    "MediaWiki text": ((".mediawiki", ".wiki"), _PANDOC),
    "Org files": ((".org",), _PANDOC),
    "LaTeX": ((".tex",), _PANDOC),
    "Textile": ((".textile",), _PANDOC),
    "text documents": ((".docx", ".odt", ".rtf", ".epub"), _PANDOC),
    "PDF": ((".pdf",), "take the files from which it was made, or text with headings as Markdown"),
}
_OF_SUFFIX = {suffix: name for name, (suffixes, _) in _ADVICE.items() for suffix in suffixes}
_OFTEN_BESIDE = (".pdf", ".docx", ".odt", ".rtf", ".tex")  # files to download, or of figures, are no pages of a site
SUFFIXES = tuple(_OF_SUFFIX)


def unread_format(files: Iterable[Path]) -> str:
    """Return the format of which most files are, and what to do with it; "" if none is known."""
    counts = Counter(name for file in files if (name := _OF_SUFFIX.get(file.suffix.lower())))
    return next((f"{name}; {_ADVICE[name][1]}" for name, _ in counts.most_common(1)), "")


def unread_pages(suffixes: Mapping[str, int], pages: int) -> str:
    """Return a warning if a folder has more files in another format than the number of ``pages`` that are read.

    >>> unread_pages({".rst": 9, ".png": 99}, 10)
    ''
    >>> unread_pages({".rst": 9}, 1)[:61]
    '9 files of reStructuredText are not read, more than the 1 pag'
    """
    counts: Counter[str] = Counter()
    for suffix, number in suffixes.items():
        if suffix in _OF_SUFFIX and suffix not in _OFTEN_BESIDE:
            counts[_OF_SUFFIX[suffix]] += number
    for name, number in counts.most_common(1):
        if number > pages:
            return f"{number} files of {name} are not read, more than the {pages} pages that are: {_ADVICE[name][1]}"
    return ""
