"""What changed between two publications, in sentences for screen and page."""

from collections.abc import Mapping
from typing import Any

from triptych.corpus.records import ALL
from triptych.evaluation.verdict import Verdicts
from triptych.report.system_names import in_order, system_name


def lines_since_last(split: Mapping[str, Any], evaluation: Mapping[str, Any], verdicts: Verdicts) -> list[str]:
    """Return a heading, then sentences on documents, figures and exams, from the metrics of ``split`` and ``evaluate``.

    Empty where no publication was before (`split.previous`).
    """
    since, before, previous = split.get("previous"), evaluation.get("previous"), verdicts.previous
    if not since or not before or previous is None:
        return []
    measure, pages, chunks = verdicts.measure, since["pages"], since["chunks"]
    then = before["then"]["published"]
    was, now = before["then"]["measures"][f"{then}_hybrid"], evaluation["measures"][ALL][f"{verdicts.published}_hybrid"]
    lines = [
        f"Since {before['folder']}: what was won is {'kept' if previous.kept else 'not kept'}",
        f"pages: {pages['added']:,} added, {pages['changed']:,} changed, {pages['gone']:,} gone, {pages['same']:,} as"
        f" they were; chunks: {chunks['added']:,} added, {chunks['gone']:,} gone",
        f"published, with BM25, each on its own test: {measure} {was[measure]:.3f} over {was['queries']:.0f} queries"
        f" ({then}), now {now[measure]:.3f} over {now['queries']:.0f} ({verdicts.published})",
    ]
    for exam, systems in before["exams"].items():
        values = ", ".join(f"{system_name(name)} {one[measure]:.3f}" for name, one in in_order(systems))
        number = int(next(iter(systems.values()))["queries"])
        lines.append(f"{exam.strip('()')}, {number} queries, on the documentation of today: {measure} {values}")
    return lines + previous.reasons
