"""Read the API documentation of an installed Python package: its public objects and their *See Also* links."""

import importlib
import inspect
import pydoc
import typing
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from numpydoc.docscrape import NumpyDocString

from triptych.corpus.cleaning import cleaned
from triptych.corpus.outcomes import Merged, Outcome, Rejected, SourceCounts
from triptych.corpus.records import Chunk, Link
from triptych.errors import UserError
from triptych.params.sections import Source

# Sections that only refer to other texts. See Also becomes links: left in the text, it would answer its own queries.
_POINTERS: dict[str, Any] = {"See Also": [], "References": "", "index": {}}


class _Docstring(NumpyDocString):
    """A docstring that also keeps the sections unknown to numpydoc, as written and in order."""

    def __init__(self, doc: str) -> None:
        self.other_sections: list[str] = []
        super().__init__(doc)

    def _read_sections(self) -> Iterator[tuple[str, list[str]]]:
        for name, content in super()._read_sections():
            if name.startswith("..") or name.title() in self.sections:
                yield name, content
            else:
                self.other_sections += [name, "-" * len(name), *content, ""]

    def __str__(self) -> str:
        # The signature follows the summary, which describes the object and comes first in all other docstrings.
        if signature := self["Signature"]:
            self["Summary"], self["Signature"] = [*self["Summary"], "", signature], ""
        return "\n".join([super().__str__(), *self.other_sections])


def read_package(source: Source, counts: SourceCounts) -> Iterator[Outcome]:
    """Read every documented public object of an installed package.

    Public objects are those in ``__all__`` of the package and its modules, and the attributes that classes of the
    package define. Objects with the same docstring become one chunk, under the name of their definition; the others
    count as merged. Raises `UserError` if the package cannot be imported.
    """
    name = source.path
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(
            f"ingest.sources: {name!r} is not a package; format: package expects a name such as numpy.linalg"
        )
    try:
        package = importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"ingest.sources: package {name!r} cannot be imported ({error}); install it or change path"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated attributes warn when they are accessed
        objects = dict(_public_objects(name, package))
        counts.read += len(objects)
        outcomes = list(_outcomes(name, source.category or name, objects, counts.normalized))
    yield from outcomes


def _public_objects(name: str, package: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, object), breadth first, in a deterministic order."""
    modules, seen = [(name, package)], {package.__name__}
    while modules:
        path, module = modules.pop(0)
        yield path, module
        for attribute in sorted(getattr(module, "__all__", [])):
            if attribute.startswith("_") or (member := getattr(module, attribute, None)) is None:
                continue
            member_path = f"{path}.{attribute}"
            if inspect.ismodule(member):
                own = member.__name__.startswith(f"{name}.") and hasattr(member, "__all__")
                if own and member.__name__ not in seen:
                    seen.add(member.__name__)
                    modules.append((member_path, member))
                continue
            yield member_path, member
            if inspect.isclass(member):
                yield from _class_members(name, member_path, member)


def _class_members(package: str, path: str, cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public attributes that classes of the package define, not those inherited from other packages."""
    own = [base for base in cls.__mro__ if f"{base.__module__}.".startswith(f"{package}.")]
    for attribute in sorted({key for base in own for key in vars(base) if not key.startswith("_")}):
        try:
            yield f"{path}.{attribute}", getattr(cls, attribute)
        except Exception:
            yield f"{path}.{attribute}", inspect.getattr_static(cls, attribute)


def _outcomes(package: str, category: str, objects: dict[str, Any], changes: Counter[str]) -> Iterator[Outcome]:
    paths_by_doc: dict[str, list[str]] = defaultdict(list)
    for path, member in objects.items():
        doc = _docstring_of(member)
        if doc.strip():
            paths_by_doc[doc].append(path)
        else:
            yield Rejected(package, path, "no docstring", "", "")
    canonical: dict[str, str] = {}
    parsed: dict[str, _Docstring] = {}
    for doc, paths in paths_by_doc.items():
        name = min(paths, key=lambda path: _preference(path, objects[path]))
        canonical.update(dict.fromkeys(paths, name))
        try:
            parsed[name] = _Docstring(doc)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            yield from (Rejected(package, path, "not numpydoc", "", reason) for path in paths)
        else:
            yield from (Merged(name) for path in paths if path != name)
    by_doc = {doc: canonical[paths[0]] for doc, paths in paths_by_doc.items()}
    for path in sorted(parsed):
        yield from _links(package, path, parsed[path], canonical, by_doc)
        yield _chunk(package, category, path, parsed[path], changes)


def _docstring_of(member: Any) -> str:
    """Return the docstring of an object, empty if it has none: in later versions of Python what it is in 3.11.

    Type aliases (3.12) and None (3.13) got docstrings, which describe nothing of the package. A property got a name
    (3.13), by which ``inspect`` finds the docstring of a base class where the name of the getter, a lambda, does not.
    """
    if member is None or isinstance(member, getattr(typing, "TypeAliasType", ())):
        return ""
    if isinstance(member, property) and not member.__doc__:
        getter = getattr(member.fget, "__name__", None)
        if getter != getattr(member, "__name__", getter):
            return ""
    return inspect.getdoc(member) or ""


def _preference(path: str, member: Any) -> tuple[bool, int, int, str]:
    """Sort key of the names of one object: first the name of its definition, then the shortest path."""
    name = "" if isinstance(member, property) else getattr(member, "__name__", "")  # a property has one from 3.13 on
    defined = getattr(member, "__qualname__", None) or name
    return (not path.endswith(f".{defined}"), path.count("."), len(path), path)


def _chunk(package: str, category: str, path: str, doc: _Docstring, changes: Counter[str]) -> Chunk:
    for section, empty in _POINTERS.items():
        doc[section] = empty
    header_path = tuple(path.split("."))
    return Chunk(
        chunk_id=path,
        category=category,
        filename=path,
        header_path=header_path,
        title=header_path[-1],
        content=cleaned(str(doc), changes).strip(),
        source=f"{package}:{path}",
    )


def _links(
    package: str, path: str, doc: _Docstring, canonical: dict[str, str], by_doc: dict[str, str]
) -> Iterator[Link]:
    """Yield a link for each described See Also entry; names are resolved from the nearest namespace outward."""
    for names, description in doc["See Also"]:
        text = " ".join(" ".join(description).split())
        if not text:
            continue
        for name in (name.strip("~.") for name, _role in names):
            target = _resolve(name, path, canonical) or _locate(package, name, by_doc) or name
            if target != path:  # a name of another package is kept; ingest drops unresolved links
                yield Link(from_chunk_id=path, to_chunk_id=target, text=text, context=f"{name} : {text}")


def _resolve(name: str, path: str, canonical: dict[str, str]) -> str | None:
    parts = path.split(".")
    for depth in range(len(parts), 0, -1):
        if (path_of_doc := canonical.get(".".join([*parts[:depth], name]))) is not None:
            return path_of_doc
    return canonical.get(name)


def _locate(package: str, name: str, by_doc: dict[str, str]) -> str | None:
    """Return the path of an object that See Also names by a private module (``core.resample.Resampler.mean``)."""
    full = name if name.startswith(f"{package}.") else f"{package}.{name}"
    try:
        member = pydoc.locate(full)
    except pydoc.ErrorDuringImport:
        return None
    return by_doc.get(_docstring_of(member)) if member is not None else None
