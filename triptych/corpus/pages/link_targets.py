"""Resolve the destinations of links to sections, as the generator of the site would."""

import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from triptych.corpus.cleaning import cleaned
from triptych.corpus.pages.inline_syntax import ELSEWHERE

_PAGE_SUFFIX = re.compile(
    r"\.(?:mdx?|markdown|mdown|mkd|qmd|rmd|html?|xhtml|rst|ipynb|adoc|php|aspx?)(?:\.[a-z]{2}(?:-[a-z]{2})?(?:\.[a-z][\w-]*)?)?(?:\.gz)?$",
    re.IGNORECASE,
)
_FILE_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}$")
_INDEX = ("index", "readme", "_index")  # the page of their folder, in any case
# The root of the site: of Docusaurus, of Zola, or a placeholder that a build replaces (@docroot@, ${docs}, %ROOT%).
_ROOT = re.compile(r"(?:@site|[@~]|@[\w.-]+@|\$\w+|\$\{\w+\}|%\w+%)?/+")
_NUMBER = re.compile(r"(?:^|(?<=/))\d+[-_.]\s*(?=[^\d/])")  # an order in front of a name: 01-intro
_POST = re.compile(r"(?:^|.*/)_posts/(?:.*/)?(\d{4})-(\d\d)-(\d\d)-(.+)$")
_OWN_SCHEMES = ("wiki", "ref", "post", "doc", "label", "xref")
_MOST_SEGMENTS = 4  # of a site prefix
_FEWEST_VOTES = 2  # links that a site prefix must resolve, unless it resolves a twentieth of them
_SHARE = 0.05
_FEW_LINKS = 20  # from the root: with so few, one is enough for a prefix
_FEWEST_OF_HOST = 3  # links to a host that must be pages for it to be the host of the site
_MOST_CUT = 2  # segments of the prefix of a host


@dataclass(slots=True)
class PageAnchors:
    """Where the links into a page go; sections are given by index."""

    chunk_ids: list[str | None] = field(default_factory=list)  # of the sections; None for a section without a chunk
    anchors: dict[str, int] = field(default_factory=dict)
    headed: int = 0  # the first section with a heading
    addresses: list[str] = field(default_factory=list)  # from front matter, as written
    redirect: str = ""  # where a page without text leads, as written
    uid: str = ""  # of DocFX
    title: str = ""

    def chunk_at(self, section: int) -> str | None:
        """Return the chunk id of a section or, if it has none, of the first section below it that has one."""
        return next((one for one in self.chunk_ids[section:] if one), None)

    def start(self) -> str | None:
        """Return the chunk that a link to the page means: the first with a heading, else the first with text."""
        return self.chunk_at(self.headed) or self.chunk_at(0)

    def section_of(self, anchor: str) -> int | None:
        """Return the section that contains an anchor: as written, in lower case, or as another generator writes it."""
        for key in (anchor, anchor.lower()):
            if key in self.anchors:
                return self.anchors[key]
        key = anchor_key(anchor)
        return next((section for one, section in self.anchors.items() if key and anchor_key(one) == key), None)


class Resolution(NamedTuple):
    """What a destination links to; without a chunk, the reason says why."""

    chunk_id: str | None
    reason: str = ""


EXTERNAL = "external"
EMPTY = "empty address"
NO_ANCHOR = "no such anchor"  # the link goes to the page


def anchor_key(anchor: str) -> str:
    """Return the letters and digits of an anchor: what the slugs of all generators have in common.

    >>> {anchor_key(one) for one in ("install--run", "install-run", "Install_Run")}
    {'installrun'}
    """
    plain = unicodedata.normalize("NFKD", anchor.lower())
    return "".join(char for char in plain if char.isalnum())


class LinkTargets:
    """The addresses of the pages of a folder."""

    def __init__(
        self,
        pages: Mapping[str, PageAnchors],
        files: Iterable[str] = (),
        aliases: Mapping[str, str] | None = None,
        left_out: Iterable[str] = (),
    ) -> None:
        """Index pages by their addresses.

        ``files`` are the paths of other files in the folder, ``aliases`` the pages that have the text of some of them,
        ``left_out`` pages that were not read.
        """
        self._pages, self._files = pages, set(files)
        self._aliases = {name: page for name, page in (aliases or {}).items() if page in pages}
        self._left_out = {ending for name in left_out for ending in _endings(_key(name).lower())}
        self._is_wiki = any(_key(name).lower() == "home" for name in pages)
        self._by_key: dict[str, str] = {}  # address without suffix → name of the page
        self._other: dict[str, str] = {}  # in lower case, without numbers; from front matter
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_uid = {page.uid.lower(): name for name, page in pages.items() if page.uid}
        self._prefixes: list[tuple[str, str]] = []  # (removed, added), the most useful first
        self._hosts: dict[str, str] = {}  # host of the site → removed prefix
        self._labels: dict[str, tuple[str, int]] | None = None
        # A file stands for its own address before an index page does.
        for name in sorted(pages, key=lambda one: (_is_index(one), one)):
            key = _key(name)
            self._by_key.setdefault(key, name)
            bases = {posixpath.basename(one) for one in (key, _PAGE_SUFFIX.sub("", name))}
            for stem in {_wiki_key(one) for base in bases for one in (base, _NUMBER.sub("", base))}:
                self._by_stem[stem].append(name)
        for name, page in pages.items():
            for key in self._other_keys(name, page):
                self._other.setdefault(key, name)
        for alias, name in self._aliases.items():
            self._by_key.setdefault(_key(alias), name)
            self._by_stem[_wiki_key(posixpath.basename(_key(alias)))].append(name)

    def _other_keys(self, name: str, page: PageAnchors) -> Iterator[str]:
        key = _key(name)
        folder = posixpath.dirname(key)
        for address in page.addresses:
            at = _trimmed(address if address.startswith("/") else posixpath.join(folder, address)).lower()
            yield from (at, _trimmed(address).lower())
            if address.startswith("/"):  # from the root of the documentation, which may be a folder
                parts = folder.lower().split("/")
                yield from (_trimmed(posixpath.join(*parts[: cut + 1], at)) for cut in range(len(parts)))
        yield key.lower()
        plain = _NUMBER.sub("", key).lower()
        yield plain
        if posixpath.basename(plain) in _INDEX:  # Nuxt: 1.index.md
            yield posixpath.dirname(plain)
        yield key.replace("/_", "/").removeprefix("_").lower()
        if posixpath.basename(folder).lower() == posixpath.basename(key).lower() or key.endswith("/page"):
            yield folder.lower()  # Docusaurus: guide/guide.md is the page of guide/; Next.js: guide/page.mdx
        if match := _POST.match(key):
            year, month, day, title = match.groups()
            yield from (f"{year}/{month}/{day}/{title}".lower(), title.lower())

    def learn_prefixes(self, destinations: Iterable[str]) -> None:
        """Find the prefixes of the site: those that make links from its root resolve, counted over distinct links."""
        hosts: dict[str, list[str]] = defaultdict(list)
        rooted = []
        for destination in dict.fromkeys(destinations):
            parts = _split(destination)
            if parts is None or (parts.scheme and parts.scheme not in ("http", "https")):
                continue
            path = _key(_trimmed(unquote(parts.path)))
            if parts.netloc:
                hosts[parts.netloc].append(path)
            elif parts.path.startswith("/"):
                rooted.append(path)
        self._prefixes = self._learned(list(dict.fromkeys(path for path in rooted if path)))
        for host, paths in hosts.items():
            removed = Counter(cut for cut in map(self._cut, paths) if cut is not None)
            if removed and (best := min(removed, key=lambda one: (-removed[one], one))) is not None:
                hits = removed[best]
                if hits >= _FEWEST_OF_HOST and hits > len(paths) / 2:
                    self._hosts[host] = best

    def _learned(self, rooted: list[str]) -> list[tuple[str, str]]:
        """Return the pairs (removed prefix, added prefix) that make paths from the root resolve, the best first."""
        missing = [path for path in rooted if self._lookup(path) is None]
        if not missing:
            return []
        endings: dict[str, set[str]] = defaultdict(set)
        for key in (*self._by_key, *self._other):
            for ending in _endings(key):
                endings[ending.lower()].add(key[: len(key) - len(ending)].rstrip("/"))
            endings[""].add(key)  # an index page
        votes: Counter[tuple[str, str]] = Counter()
        missing = [path for path in missing if path.lower() not in self._left_out or path.lower() in endings]
        for path in missing:
            segments = path.split("/")
            for cut in range(min(_MOST_SEGMENTS + 1, len(segments))):
                removed, rest = "/".join(segments[:cut]), "/".join(segments[cut:])
                votes.update((removed, added) for added in endings.get(rest.lower(), ()) if removed != added)
        least = max(_FEWEST_VOTES, _SHARE * len(missing)) if len(rooted) > _FEW_LINKS else 1
        useful = [(pair, number) for pair, number in votes.items() if number >= least]
        return [pair for pair, _ in sorted(useful, key=lambda one: (-one[1], len(one[0][1]), one[0]))]

    def _cut(self, path: str) -> str | None:
        """Return the beginning of a path without which it is a page of the site; None if it is none."""
        segments = path.split("/")
        for cut in range(min(_MOST_CUT + 1, len(segments))):
            rest = "/".join(segments[cut:])
            if rest and self._from_root(rest):
                return "/".join(segments[:cut])
        return None

    def resolve(self, name: str, destination: str, text: str = "") -> Resolution:
        """Return the chunk to which a destination in the page ``name`` links, or why there is none.

        The ``text`` of the link names the entry of a glossary in sites that link with a word, as in ``[term](g)``.

        Only pages that were read are looked up, so ``..`` cannot lead out of the folder.
        """
        parts = _split(destination)
        if parts is None:
            return Resolution(None, "not an address")
        path, anchor = _path_and_anchor(parts)
        if parts.scheme in _OWN_SCHEMES and not parts.netloc:
            return self._own(name, parts.scheme, path, anchor)
        if "{{" in path or "{{" in destination:
            return Resolution(None, "template")
        if self._is_wiki and "wiki/" in path and (found := self._lookup(_trimmed(path.rpartition("wiki/")[2]))):
            return self._at(found, anchor)
        if parts.netloc in self._hosts:
            prefix = self._hosts[parts.netloc]
            found = self._from_root(_trimmed(path).removeprefix(prefix).lstrip("/")) if path.strip("/") else None
            at = self._at(found, anchor) if found else Resolution(None)
            return at if at.chunk_id else Resolution(None, EXTERNAL)
        if parts.scheme == ELSEWHERE and (found := self._from_root(path.lstrip("/"))):
            return self._at(found, anchor)
        if parts.scheme or parts.netloc or path.startswith("`"):  # also code, which ExDoc looks up in a reference
            return Resolution(None, EXTERNAL)
        if not path and not anchor:
            return Resolution(None, EMPTY)
        page_name = self.page_of(name, path) if path else name
        if page_name is None and text and not anchor and path.isalpha():
            page_name = self._entry(path, text)
        if page_name is None:
            return Resolution(None, self._why(name, path))
        return self._at(page_name, anchor)

    def _entry(self, word: str, text: str) -> str | None:
        """Return the page of a term in the folder whose name begins with a word: singular, if there is no plural."""
        for term in (text, text.removesuffix("s"), text.removesuffix("es"), re.sub(r"ies$", "y", text)):
            for one in self._by_stem.get(_wiki_key(term), []):
                if posixpath.basename(posixpath.dirname(one)).lower().startswith(word.lower()):
                    return one
        return None

    def page_of(self, name: str, path: str) -> str | None:
        """Return the page at a path as written in the page ``name``."""
        if from_root := _ROOT.match(path):
            return self._from_root(path[from_root.end() :])
        key = _key(name)
        folder = posixpath.dirname(name)
        exact = _joined(folder, path)
        if exact is not None and (exact in self._pages or exact in self._aliases):
            return self._aliases.get(exact, exact)
        # As a file next to the page; else as an address of a page that is served as a directory.
        for base in dict.fromkeys((folder, key, posixpath.dirname(folder))):
            joined = _joined(base, path)
            if joined is not None and (found := self._lookup(joined)):
                return found
            if base == folder and _PAGE_SUFFIX.search(path):
                continue
        # Sources that are served one level higher or lower, and paths from the root without a slash.
        bare = _joined("", path)
        if bare and (found := self._from_root(bare)):
            return found
        # Writerside and Svelte: a name without a folder is that of its only page, in any folder.
        named = set(self._by_stem.get(_wiki_key(_PAGE_SUFFIX.sub("", path)), ())) if "/" not in path else set()
        return named.pop() if len(named) == 1 and bare not in self._files else None

    def _from_root(self, path: str) -> str | None:
        trimmed = _trimmed(path)
        if found := self._lookup(trimmed):
            return found
        is_left_out = _key(trimmed).lower() in self._left_out
        for removed, added in self._prefixes:
            if removed and is_left_out:
                continue
            if removed and trimmed != removed and not trimmed.startswith(f"{removed}/"):
                continue
            rest = trimmed[len(removed) :].lstrip("/")
            if found := self._lookup(posixpath.join(added, rest).rstrip("/")):
                return found
        return None

    def _lookup(self, path: str) -> str | None:
        """Return the page at a path from the root of the folder."""
        if path in self._pages or path in self._aliases:
            return self._aliases.get(path, path)
        if _FILE_SUFFIX.search(path) and not _PAGE_SUFFIX.search(path) and path in self._files:
            return None
        for key in (_key(path), path):
            if key in self._by_key:
                return self._by_key[key]
            if key.lower() in self._other:
                return self._other[key.lower()]
        return None

    def _own(self, name: str, scheme: str, path: str, anchor: str) -> Resolution:
        """Resolve an address of a generator, such as ``ref:`` of Hugo."""
        found: str | None
        if scheme == "xref" and not self._by_uid:
            return Resolution(None, EXTERNAL)  # into another project, as in MyST
        if scheme == "xref":
            found = self._by_uid.get(path.lower())
        elif scheme == "label":
            return self._label(path)
        elif scheme == "post":
            found = next((one for one in self._pages if _key(one).endswith(f"_posts/{path}")), None)
        else:
            named = self._by_stem.get(_wiki_key(path), []) if scheme == "wiki" and path else []
            found = named[0] if len(named) == 1 else self.page_of(name, path) if path else name
            if found is None:
                stems = self._by_stem.get(_wiki_key(posixpath.basename(_key(path))), [])
                ending = [one for one in stems if _wiki_key(_key(one)).endswith(_wiki_key(_key(path)))]
                found = min(ending or stems, key=lambda one: (one.count("/"), one), default=None)
            if found is None:
                found = next((one for one, page in self._pages.items() if page.title and page.title == path), None)
        return Resolution(None, "no such page") if found is None else self._at(found, anchor)

    def _label(self, label: str) -> Resolution:
        if self._labels is None:
            self._labels = {}
            for name, page in self._pages.items():
                for anchor, section in page.anchors.items():
                    self._labels.setdefault(anchor.lower(), (name, section))
        found = self._labels.get(label.lower())
        chunk_id = self._pages[found[0]].chunk_at(found[1]) if found else None
        return Resolution(chunk_id) if chunk_id else Resolution(None, "no such label")

    def _at(self, name: str, anchor: str) -> Resolution:
        page = self._pages.get(name, PageAnchors())
        if page.redirect and not page.start():
            target = self.page_of(name, page.redirect.partition("#")[0])
            if target and target != name and self._pages[target].start():
                return self._at(target, anchor or page.redirect.partition("#")[2])
        if not anchor or anchor == "top":
            section = page.anchors.get(anchor) if anchor else None
            chunk_id = page.start() if section is None else page.chunk_at(section)
            return Resolution(chunk_id) if chunk_id else Resolution(None, "page without text")
        section = page.section_of(anchor)
        if section is None:
            chunk_id = page.start()
            return Resolution(chunk_id, NO_ANCHOR) if chunk_id else Resolution(None, "page without text")
        chunk_id = page.chunk_at(section)
        return Resolution(chunk_id) if chunk_id else Resolution(None, "section without text")

    def _why(self, name: str, path: str) -> str:
        if not path.startswith("/") and _joined(posixpath.dirname(name), path) is None:
            return "outside the folder"
        at = path.lstrip("/") if path.startswith("/") else _joined(posixpath.dirname(name), path) or ""
        if _key(_trimmed(at)).lower() in self._left_out:
            return "page left out"
        is_file = at in self._files or (_FILE_SUFFIX.search(path) and not _PAGE_SUFFIX.search(path))
        return "not a page" if is_file else "no such page"


def _endings(key: str) -> Iterator[str]:
    segments = key.split("/")
    return ("/".join(segments[cut:]) for cut in range(len(segments)))


def _split(destination: str) -> SplitResult | None:
    try:
        return urlsplit(destination.strip())
    except ValueError:  # "//[::g]"
        return None


def _path_and_anchor(parts: SplitResult) -> tuple[str, str]:
    """Return the path of an address and the anchor in it.

    >>> _path_and_anchor(urlsplit("#/a?id=b")), _path_and_anchor(urlsplit("a?id=b"))
    (('/a', 'b'), ('a', 'b'))
    """
    path, anchor = cleaned(unquote(parts.path)), cleaned(unquote(parts.fragment))
    if not path and anchor.startswith("/"):  # of Docsify
        path, _, anchor = anchor.partition("?id=")
    elif not anchor and parts.query.startswith("id="):
        anchor = cleaned(unquote(parts.query[3:]))
    return path, anchor


def _joined(folder: str, path: str) -> str | None:
    """Return a relative path from the root of the folder; None if it leads out of it."""
    joined = posixpath.normpath(posixpath.join(folder, path))
    return None if joined.startswith("..") else "" if joined == "." else joined


def _is_index(name: str) -> bool:
    return posixpath.basename(_PAGE_SUFFIX.sub("", name)).lower() in _INDEX


def _key(name: str) -> str:
    """Return the address of a page without suffix; that of an index page is its folder.

    >>> _key("guide/index.md"), _key("guide/reset.html"), _key("README.md")
    ('guide', 'guide/reset', '')
    """
    plain = _PAGE_SUFFIX.sub("", name).rstrip("/")
    folder, _, last = plain.rpartition("/")
    return folder if last.lower() in _INDEX else plain


def _trimmed(path: str) -> str:
    """Return a path from the root without slashes at its ends."""
    return posixpath.normpath(path.strip("/")).removeprefix("./") if path.strip("/") not in ("", ".") else ""


def _wiki_key(page: str) -> str:
    return re.sub(r"[\s_-]+", "-", page).lower()
