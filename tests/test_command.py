"""Lines that stages print."""

from pathlib import Path

from stages.command import print_warnings


def test_warnings_of_a_kind_are_one_line(capsys):
    lines = [
        "guides: 230 triplets fewer than wanted; raise caps",
        "tips: 59 distinct triplets of 4 chunks",
        "news: 110 triplets fewer than wanted; raise caps",
        "guides: 242 triplets fewer than wanted; raise caps",
        "blog: 7 triplets fewer than wanted; raise caps",
    ]
    print_warnings(lines, Path("metrics/triplets.json"))
    assert capsys.readouterr().out.splitlines() == [
        "warning: guides: 230 triplets fewer than wanted; raise caps; 2 more categories like this, see"
        " metrics/triplets.json",
        "warning: tips: 59 distinct triplets of 4 chunks",
    ]
