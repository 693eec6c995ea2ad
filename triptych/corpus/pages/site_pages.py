"""Which files of a folder are pages of the site: not its menus, parts of pages, or other versions and languages."""

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from triptych.corpus.files import BadFileError, read_page
from triptych.corpus.pages.front_matter import split_front_matter

_PARTS = frozenset(
    "_common _components _drafts _includes _layouts _partials _shared _snippets _templates".split()  # noqa: SIM905
)
_LANGUAGES = frozenset(
    """
    ar az be bg bn bs ca cs da de el en es et eu fa fi fil fr gl he hi hr hu hy id is it ja ka kk km ko lt lv mk ml mn
    mr ms my nb ne nl nn no pl pt ro ru sk sl sq sr sv sw ta te th tr uk ur uz vi yo zh
    """.split()  # noqa: SIM905
)
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:[-_](?:[a-z]{4}|[a-z]{2}|\d{3}))*", re.IGNORECASE)
_VERSION = re.compile(r"(?:version-?|release-?|v)?(\d+(?:\.\d+)*)(?:\.x|\.\*)?(?:[-.]?(?:lts|stable|final))?", re.I)
_NEWEST = ("stable", "latest", "current")  # versions with a name, the first preferred to any number
_UNRELEASED = ("next", "main", "master", "dev", "devel", "development", "edge", "nightly", "canary", "unstable")
_YEAR = re.compile(r"(?:19|20)\d\d")
_CODE = r"[A-Za-z]{2}(?:[-_][A-Za-z]{2})?"
_BEFORE_SUFFIX = re.compile(rf"(.+)\.({_CODE})(\.(?:mdx?|markdown|[qr]md|html?))")  # page.fr.md
_AFTER_SUFFIX = re.compile(rf"(.+\.html?)\.({_CODE})(?:\.[\w-]+)?")  # page.html.fr, page.html.tr.utf8
_INDEX = re.compile(r"(?:_?index|readme|home)(?:\.\w+)+", re.IGNORECASE)
_ALIKE = 0.5  # share of the pages of an edition that another one also has
_MANY = 3  # pages that a folder named `dev` must share with those beside it to be a version of them
_COMPLETE = 0.8  # share of the pages of the largest edition that English must have to be preferred
_MENU = re.compile(
    r"(?:_?side_?bar|_?nav_?bar|contents?|menu|nav|navigation|summary|toc)(?:[-_.][\w.-]*)?\.md", re.IGNORECASE
)
_MENU_LINE = re.compile(r"\s*(?:(?:[-*+]|\d+\.)\s+)?(?:\*\*|__)?!?\[.*\]\(.*\)(?:\*\*|__)?\s*")
_MENU_GROUP = re.compile(r"\s*(?:#.*|-{3,}|={3,}|<!--.*-->)\s*")  # what may stand between its links
_MENU_ITEM = re.compile(r"\s*[-*+]\s+[^.!?。]{1,60}")  # without a link, over those below it
_FEWEST_LINKS = 3  # of a menu; SUMMARY.md is one with any number
_FEWEST_TRANSLATED = 5  # pages of an edition whose names are translated too
_SOURCES = (".qmd", ".rmd")  # of pages that may be beside them

# Pages of an API reference that list code or names: (a page that only this generator writes, those pages). Its index
# is no such page: the words in it are judgments.
_LISTINGS = tuple(
    (re.compile(sign), re.compile(rf"(?:^|/)(?:{listings})$"))
    for sign, listings in (
        (  # Javadoc
            r"(?:^|/)(?:allclasses(?:-index|-frame|-noframe)?|overview-tree|package-tree)\.html$",
            r"(?:class-use|src-html)/.*|(?:allclasses|allpackages|constant-values|overview-(?:frame|tree)|package-(?:frame|tree|use)"
            r"|serialized-form|help-doc)(?:-\w+)?\.html",
        ),
        (  # Doxygen
            r"(?:^|/)(?:annotated|doxygen_crawl|graph_legend)\.html$|_8(?:h|hpp|hh|py|java)_source\.html$",
            r".*_source\.html|.*-members\.html|search/\w+\.html|dir_[0-9a-f]{32}\.html"
            r"|(?:annotated|classes|doxygen_crawl|files|functions|globals|graph_legend|hierarchy|inherits|namespacemembers)"
            r"(?:_\w+)?\.html",
        ),
        (r"\.rs\.html$", r"src/.*\.rs\.html|(?:all|help|settings)\.html"),  # Rustdoc
        (r"(?:^|/)doc-index\.html$", r"src/.*"),  # Haddock
        (r"(?:^|/)genindex\.html$", r"_modules/.*"),  # Sphinx
    )
)

LANGUAGES, VERSIONS = "other languages", "other versions"


@dataclass(slots=True)
class SitePages:
    """The pages of a folder by relative path, and what else it contains."""

    pages: dict[str, Path]
    left_out: dict[str, str] = field(default_factory=dict)  # relative path → reason
    aliases: dict[str, str] = field(default_factory=dict)  # relative path → page that shows its text
    editions: list[str] = field(default_factory=list)  # which versions and languages were taken, as sentences
    kept: list[str] = field(default_factory=list)  # their folders

    def leave_out(self, names: Iterable[str], reason: str) -> None:
        """Remove files from the pages."""
        for name in names:
            if self.pages.pop(name, None):
                self.left_out[name] = reason


def site_pages(files: Mapping[str, Path], included: Mapping[str, str], every_edition: bool = False) -> SitePages:
    """Return the files that are pages.

    ``included`` has the page in which a file is included. Of several versions or languages, the released or the newest
    version, and the most complete language, preferably English, are taken, unless ``every_edition`` is set.
    """
    site = SitePages(dict(files))
    hidden = [
        name for name in site.pages if any(one.startswith(".") or one == "node_modules" for one in name.split("/")[:-1])
    ]
    if len(hidden) < len(site.pages):
        site.leave_out(hidden, "hidden folders")
    _leave_out_links(site)
    _leave_out_listings(site)
    rendered = {name: f"{name[:-4]}.md" for name in site.pages if name.lower().endswith(_SOURCES)}
    rendered = {name: page for name, page in rendered.items() if page in site.pages}
    site.leave_out(rendered, "sources of other pages")
    site.aliases |= rendered
    if not every_edition:
        _leave_out_suffixed(site)
        for root in _folders(site.pages):
            _leave_out_editions(site, root)
    parts = [name for name in site.pages if is_part(name) or (included.get(name, name) != name)]
    parts += [name for name, path in site.pages.items() if _MENU.fullmatch(posixpath.basename(name)) and _is_menu(path)]
    if len(set(parts)) < len(site.pages):
        site.leave_out(parts, "parts of other pages")
        site.aliases |= {name: page for name, page in included.items() if name not in site.pages and page in site.pages}
    return site


def is_part(name: str) -> bool:
    """Return whether a file is only a part of pages by its name: ``_Sidebar.md``, ``_includes/note.md``.

    >>> is_part("guide/_frames.mdx"), is_part("_posts/2024-01-02-a.md"), is_part("guide/_index.md")
    (True, False, False)
    """
    *folders, last = name.split("/")
    is_index = last.lower().startswith(("_index.", "_default."))
    return (last.startswith("_") and not last.startswith("__") and not is_index) or not _PARTS.isdisjoint(folders)


def _is_menu(path: Path) -> bool:
    """Return whether all lines of a file are links or name a group of them, as in the ``SUMMARY.md`` of mdBook."""
    try:
        text = read_page(path).decode(errors="replace")
    except BadFileError:
        return False
    lines = [line for line in split_front_matter(text, Counter())[0].splitlines() if line.strip()]
    links = sum(bool(_MENU_LINE.fullmatch(line)) for line in lines)
    others = [line for line in lines if not _MENU_LINE.fullmatch(line) and not _MENU_GROUP.fullmatch(line)]
    if links < _FEWEST_LINKS:
        return path.name == "SUMMARY.md" and not others
    return all(_MENU_ITEM.fullmatch(line) for line in others)


def _leave_out_links(site: SitePages) -> None:
    """Leave out files that are links to other pages of the folder, so that the page has the name of the original."""
    links = {name: path for name, path in site.pages.items() if path.is_symlink()}
    if links:
        originals = {path.resolve(): name for name, path in site.pages.items() if name not in links}
        for name, path in links.items():
            if original := originals.get(path.resolve()):
                site.leave_out([name], "links to other pages")
                site.aliases[name] = original


def _leave_out_listings(site: SitePages) -> None:
    """Leave out the pages of an API reference that show source code, or only list names."""
    for sign, listings in _LISTINGS:
        if any(sign.search(name) for name in site.pages):
            found = [name for name in site.pages if listings.search(name)]
            if len(found) < len(site.pages):
                site.leave_out(found, "listings of code")


def _leave_out_suffixed(site: SitePages) -> None:
    """Of ``page.md``, ``page.fr.md`` and ``page.html.en``, keep one language."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)  # name without language → language → name
    for name in site.pages:
        match = _BEFORE_SUFFIX.fullmatch(name)
        if match and _is_language(match[2]):
            groups[match[1] + match[3]][match[2].lower()] = name
        elif (match := _AFTER_SUFFIX.fullmatch(name)) and _is_language(match[2]):
            groups[match[1]][match[2].lower()] = name
    sizes: dict[str, int] = defaultdict(int)
    for plain, by_language in groups.items():
        if plain in site.pages and _is_type_map(site.pages[plain]):
            site.leave_out([plain], "type maps")
        for language in by_language:
            sizes[language] += 1
    preferred = _best_language(sizes)
    taken: dict[str, int] = defaultdict(int)
    for plain, by_language in groups.items():
        best = preferred if preferred in by_language else max(by_language, key=lambda one: (sizes[one], one))
        keep = plain if plain in site.pages else by_language[best]
        others = [name for name in by_language.values() if name != keep]
        site.leave_out(others, LANGUAGES)
        site.aliases |= dict.fromkeys(others, keep)
        taken["without a suffix" if keep == plain else best] += bool(others)
    for language, number in taken.items():
        if number:
            site.editions.append(f"languages in file names: took {language} of {number} pages")


def _is_type_map(path: Path) -> bool:
    """Return whether a file only names the files of its languages, as those of Apache do."""
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"URI:")
    except OSError:
        return False


def _leave_out_editions(site: SitePages, root: str) -> None:
    """Of the folders in ``root`` that are versions, or languages, of one site, keep one."""
    below: dict[str, set[str]] = defaultdict(set)  # folder → pages in it, relative to it
    prefix = f"{root}/" if root else ""
    for name in site.pages:
        folder, slash, rest = name.removeprefix(prefix).partition("/")
        if name.startswith(prefix):
            below[folder if slash else ""].add(rest if slash else folder)
    docusaurus = list(_of_docusaurus(below, root))
    for reason, editions, keep in [*docusaurus, (LANGUAGES, None, None), (VERSIONS, None, None)]:
        if editions is None:
            is_edition = _is_language if reason == LANGUAGES else _is_version
            editions = [one for one in below if is_edition(one)]
            keep = _kept(reason, editions, below)
        others = [one for one in editions if one != keep]
        if keep is None or not others:
            continue
        lost = [name for one in others for name in site.pages if name.startswith(f"{prefix}{one}/")]
        site.leave_out(lost, reason)
        site.kept += [f"{prefix}{keep}"] if keep else []
        shown = ", ".join(others[:6]) + (", …" if len(others) > 6 else "")
        taken = f"{prefix}{keep}, not" if keep else f"the pages in {root or 'the folder'} itself, not in"
        site.editions.append(f"{reason.removeprefix('other ')}: took {taken} {shown} ({len(lost)} pages)")
        for one in others:
            del below[one]


def _of_docusaurus(below: Mapping[str, set[str]], root: str) -> Iterator[tuple[str, list[str] | None, str | None]]:
    """Yield the folders of Docusaurus with earlier versions and with translations, which are beside ``docs``."""
    versions = [one for one in below if one == "versioned_docs" or one.endswith("_versioned_docs")]
    if "docs" in below and versions:
        yield VERSIONS, versions, "docs"
    if len(below) > 1 and any("docusaurus-plugin" in name for name in below.get("i18n", ())):
        yield LANGUAGES, ["i18n"], "docs" if "docs" in below else ""


def _kept(reason: str, editions: list[str], below: Mapping[str, set[str]]) -> str | None:
    """Return the edition to keep, "" for the pages beside the editions; None if these are no editions of one site.

    Editions that are not like the kept one are removed from the list.
    """
    beside = set(below.get("", ())) | {
        f"{one}/{rest}" for one, names in below.items() if one and one not in editions for rest in names
    }
    alike = [one for one in editions if _share(below[one], beside) >= _ALIKE and len(below[one]) <= len(beside)]
    # A folder such as `dev` or `next` is more often a topic.
    alike = [
        one for one in alike if _is_language(one) or one.lower()[-1:].isdigit() or len(below[one] & beside) >= _MANY
    ]
    if alike:
        editions[:] = alike
        return ""
    if len(editions) < 2:
        return None
    sizes = {one: len(below[one]) for one in editions}
    if reason == LANGUAGES and _are_translations(sizes, len(beside)):
        return _best_language(sizes)
    numbered = [one for one in sizes if _VERSION.fullmatch(one.lower())]
    like = {one: [other for other in sizes if _share(below[other], below[one]) >= _ALIKE] for one in sizes}
    model = max(sizes, key=lambda one: (len(like[one]), sizes[one], one))  # the largest may be a new design
    sizes = {one: size for one, size in sizes.items() if one in like[model]}
    editions[:] = list(sizes)
    if len(sizes) < 2:
        return None
    if reason == LANGUAGES:
        return _best_language(sizes)
    newest = max(sizes, key=_version_key)
    if len(sizes) > 2:  # so these are versions; one before them may have had other pages
        editions += [one for one in numbered if one not in sizes and _version_key(one) < _version_key(newest)]
    return newest


def _are_translations(sizes: Mapping[str, int], beside: int) -> bool:
    """Return whether folders are languages by their sizes, where the names of the pages are translated as well.

    Three folders with the code of a language and about as many pages each, which are most of the pages, are no topics.
    """
    most = max(sizes.values())
    alike = [size for size in sizes.values() if size >= max(_FEWEST_TRANSLATED, _ALIKE * most)]
    return len(alike) > 2 and sum(sizes.values()) > beside


def _share(names: set[str], others: set[str]) -> float:
    """Return the share of pages that are also among others; a folder with only an index page is no edition."""
    names = {name for name in names if not _INDEX.fullmatch(name)}
    return len(names & others) / len(names) if names else 0.0


def _best_language(sizes: Mapping[str, int]) -> str:
    """Return the language with the most pages, or English if it has most of those."""
    if not sizes:
        return ""
    most = max(sizes.values())
    english = [one for one in sizes if one.lower().startswith("en") and sizes[one] >= _COMPLETE * most]
    return min(english) if english else min(one for one in sizes if sizes[one] == most)


def _version_key(name: str) -> tuple[int, int, tuple[int, ...], str]:
    """Sort versions: unreleased ones first, then by number, then those that are named as the newest."""
    low = name.lower()
    if low in _UNRELEASED:
        return 0, -_UNRELEASED.index(low), (), ""
    if low in _NEWEST:
        return 2, -_NEWEST.index(low), (), ""
    match = _VERSION.fullmatch(low)
    return 1, 0, tuple(int(part) for part in match[1].split(".")) if match else (), low


def _is_version(name: str) -> bool:
    low = name.lower()
    return low in _NEWEST or low in _UNRELEASED or (bool(_VERSION.fullmatch(low)) and not _YEAR.fullmatch(low))


def _is_language(name: str) -> bool:
    match = _LANGUAGE.fullmatch(name)
    return bool(match) and match[1].lower() in _LANGUAGES  # type: ignore[index]


def _folders(names: Iterable[str]) -> list[str]:
    """Return the folders that contain folders with the name of an edition, the outermost first."""
    parents, known = set[str](), dict[str, bool]()
    for name in names:
        parts = name.split("/")[:-1]
        for depth, part in enumerate(parts):
            if part not in known:
                known[part] = _is_language(part) or _is_version(part) or part == "i18n" or "versioned_docs" in part
            if known[part]:
                parents.add("/".join(parts[:depth]))
    return sorted(parents, key=lambda one: (one.count("/") + bool(one), one))
