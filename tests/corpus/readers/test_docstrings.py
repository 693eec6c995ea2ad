"""An installed package's API documentation as chunks and links."""

import importlib
import sys
import types

import numpy as np
import pytest
from readings import read_from

from triptych.corpus.readers.docstrings import read_package
from triptych.errors import UserError


@pytest.fixture(scope="module")
def fft():
    return read_from(read_package, "numpy.fft", "signals")


@pytest.fixture(scope="module")
def random():
    return read_from(read_package, "numpy.random", None)


@pytest.fixture
def package(monkeypatch):
    """Install a module of the given functions and classes for one test."""

    def install(**members):
        module = types.ModuleType("toybox")
        module.__all__ = sorted(members)
        for name, member in members.items():
            member.__module__ = "toybox"
            setattr(module, name, member)
        monkeypatch.setitem(sys.modules, "toybox", module)
        return "toybox"

    return install


def documented(doc, name="f"):
    def f():
        pass

    f.__doc__, f.__name__, f.__qualname__ = doc, name, name
    return f


def test_every_public_function_is_a_chunk_by_its_dotted_name(fft):
    functions = {f"numpy.fft.{name}" for name in np.fft.__all__}
    assert {chunk.chunk_id for chunk in fft.chunks} == functions | {"numpy.fft"}


def test_chunk_has_category_path_and_source(fft):
    chunk = next(one for one in fft.chunks if one.chunk_id == "numpy.fft.ifft2")
    assert (chunk.category, chunk.header_path, chunk.title) == ("signals", ("numpy", "fft", "ifft2"), "ifft2")
    assert "Compute the 2-dimensional inverse discrete Fourier Transform." in chunk.content
    assert chunk.source == "numpy.fft:numpy.fft.ifft2"


def test_category_is_the_package_where_none_is_given(random):
    assert {chunk.category for chunk in random.chunks} == {"numpy.random"}


def test_see_also_is_not_in_the_text_it_would_answer_its_own_queries(fft):
    assert "See Also" in np.fft.fft.__doc__
    assert [chunk.chunk_id for chunk in fft.chunks if "See Also" in chunk.content] == []
    assert all("Frequency bins for given FFT parameters" not in chunk.content for chunk in fft.chunks)


def test_see_also_becomes_links_to_chunks(fft):
    found = {(link.to_chunk_id, link.text) for link in fft.links if link.from_chunk_id == "numpy.fft.fft"}
    assert ("numpy.fft.fftfreq", "Frequency bins for given FFT parameters.") in found
    assert ("numpy.fft", "for definition of the DFT and conventions used.") in found
    assert {link.to_chunk_id for link in fft.links} <= {chunk.chunk_id for chunk in fft.chunks}


def test_see_also_resolves_to_the_nearest_namespace(random):
    spawned = {link.to_chunk_id for link in random.links if link.from_chunk_id == "numpy.random.BitGenerator.spawn"}
    assert spawned == {"numpy.random.Generator.spawn", "numpy.random.SeedSequence.spawn"}


def test_link_to_an_alias_goes_to_the_chunk_with_its_text(package):
    sort = documented("Sort in place.", "sort")
    find = documented("Find a value.\n\nSee Also\n--------\norder : Put a list in order.\n", "find")
    (link,) = read_from(read_package, package(sort=sort, order=sort, find=find), None).links
    assert (link.from_chunk_id, link.to_chunk_id) == ("toybox.find", "toybox.sort")


def test_name_in_a_class_means_its_own_member_first(package):
    class Bag:
        """A bag."""

        def find(self):
            """Find in the bag.

            See Also
            --------
            sort : Put what it holds in order.
            """

        def sort(self):
            """Sort the bag."""

    links = read_from(read_package, package(Bag=Bag, sort=documented("Sort a list in place.", "sort")), None).links
    assert [link.to_chunk_id for link in links] == ["toybox.Bag.sort"]


def test_link_to_itself_is_left_out(package):
    sort = documented("Sort in place.\n\nSee Also\n--------\norder : The same by another name.\n", "sort")
    assert read_from(read_package, package(sort=sort, order=sort), None).links == []


def test_see_also_without_a_description_is_left_out(package):
    find = documented("Find a value.\n\nSee Also\n--------\nsort\n", "find")
    assert read_from(read_package, package(sort=documented("Sort in place.", "sort"), find=find), None).links == []


def test_names_of_one_object_are_one_chunk_under_its_own_name(package):
    sort = documented("Sort in place.", "sort")
    reading = read_from(read_package, package(a=sort, sort=sort, zz=sort), None)
    assert [chunk.chunk_id for chunk in reading.chunks] == ["toybox.sort"]
    assert reading.merged == 2


def test_members_of_a_class_are_chunks_but_not_what_builtins_hand_down(package):
    class Bag(dict):
        """A bag."""

        def shake(self):
            """Shake the bag."""

        def _hidden(self):
            """Hidden."""

    found = [chunk.chunk_id for chunk in read_from(read_package, package(Bag=Bag), None).chunks]
    assert found == ["toybox.Bag", "toybox.Bag.shake"]


def test_docstrings_that_only_later_versions_of_python_have_are_none(package):
    class Bag:
        """A bag."""

        @property
        def size(self):
            """How much goes in."""

    class Sack(Bag):
        """A sack."""

        size = property(lambda self: 1)  # 3.13 would take the docstring of the bag's
        kind = None  # which has a docstring from 3.13 on

    reading = read_from(read_package, package(Bag=Bag, Sack=Sack), None)
    assert [chunk.chunk_id for chunk in reading.chunks] == ["toybox.Bag", "toybox.Bag.size", "toybox.Sack"]
    assert [one[0] for one in reading.reasons()] == [
        "toybox:toybox",
        "toybox:toybox.Sack.kind",
        "toybox:toybox.Sack.size",
    ]


def test_name_of_a_property_is_its_shortest_path_in_every_version_of_python(package):
    class Bag:
        """A bag."""

        @property
        def size(self):
            """How much goes in."""

        n = size  # its name is ``size`` from 3.13 on

    reading = read_from(read_package, package(Bag=Bag), None)
    assert [chunk.chunk_id for chunk in reading.chunks] == ["toybox.Bag", "toybox.Bag.n"]


@pytest.mark.parametrize("name", ["numpy.fft", "numpy.linalg", "numpy.random"])
def test_records_read_are_kept_merged_or_rejected(name):
    module = importlib.import_module(name)
    reading = read_from(read_package, name, None)
    assert reading.counts.read == len(reading.chunks) + reading.merged + len(reading.rejected)
    assert reading.counts.read >= 1 + sum(
        not isinstance(getattr(module, one), types.ModuleType) for one in module.__all__
    )
    assert len({chunk.chunk_id for chunk in reading.chunks}) == len(reading.chunks)


def test_object_without_a_docstring_is_rejected_by_name(package):
    reading = read_from(read_package, package(sort=documented("Sort in place."), bare=documented("  ")), None)
    assert reading.reasons() == [
        ("toybox:toybox", "no docstring", "", ""),
        ("toybox:toybox.bare", "no docstring", "", ""),
    ]
    assert reading.counts.read == 3


def test_docstring_that_numpydoc_refuses_is_rejected_with_all_its_names(package):
    twice = documented("Sort.\n\nNotes\n-----\na\n\nNotes\n-----\nb\n")
    reading = read_from(read_package, package(sort=twice, order=twice, find=documented("Find a value.")), None)
    refused = [one[:2] for one in reading.reasons() if one[1] != "no docstring"]
    assert refused == [("toybox:toybox.order", "not numpydoc"), ("toybox:toybox.sort", "not numpydoc")]
    assert reading.merged == 0


def test_package_that_is_not_installed_is_refused():
    with pytest.raises(UserError, match=r"package 'no_such_package' cannot be imported .*; install it or change path"):
        read_from(read_package, "no_such_package", None)


@pytest.mark.parametrize("name", ["./docs", "docs/api"])
def test_path_given_as_a_package_is_refused_without_a_traceback(name):
    with pytest.raises(UserError):
        read_from(read_package, name, None)


def test_sections_unknown_to_numpydoc_are_kept_as_written(package):
    doc = "Sum up.\n\nMPS tricks\n==========\nPinned.\n\nNotes\n-----\nSlow.\n\nMPS tricks\n----------\nTwice."
    (chunk,) = read_from(read_package, package(f=documented(doc)), None).chunks
    assert chunk.content.split("\n\n") == [
        "Sum up.",
        "Notes\n-----\nSlow.",
        "MPS tricks\n----------\nPinned.",
        "MPS tricks\n----------\nTwice.",
    ]


def test_signature_follows_the_summary(package):
    doc = "f(x, /, *, out=None)\n\nAdd up.\n\nSlowly.\n\nNotes\n-----\nNone."
    (chunk,) = read_from(read_package, package(f=documented(doc)), None).chunks
    assert chunk.content.split("\n\n")[:3] == ["Add up.", "f(x, /, *, out=None)", "Slowly."]
