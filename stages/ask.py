"""Have a language model write questions for the chunks, and keep those that lead to their chunk.

``python -m stages.ask --corpus data/corpus --journals data/journals --examples examples --questions data/questions
--metrics metrics/ask.json --vectors data/vectors``

The journal, which ``ask.journal`` names, is no output of the stage: it is appended to and never made again.
``data/vectors`` is a cache outside DVC.
"""

import asyncio
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triptych.artifacts import write_json, write_jsonl, writing
from triptych.corpus.duplicates.query_overlap import written_overlap_metrics
from triptych.corpus.embedded_text import passage
from triptych.corpus.language import read_language
from triptych.corpus.records import ALL, Chunk, category_label, read_chunks, read_qrels, read_queries
from triptych.corpus.written_questions import WrittenQuestion, write_questions
from triptych.errors import UserError
from triptych.params.load import load_params
from triptych.params.questions import Ask
from triptych.params.sections import Params
from triptych.progress import is_quiet
from triptych.questions.asking import Asked, Candidates, ask_all, candidates, estimate
from triptych.questions.endpoint import Endpoint, api_key
from triptych.questions.journal import Journal, Taken
from triptych.questions.prompt import prompt_name, shown_text, text_key
from triptych.questions.text_filters import TEXT_REASONS, TextFilter

from .command import paths, print_line, print_warnings, run

if TYPE_CHECKING:  # it imports PyTorch, which takes seconds that a run without questions does not need
    from triptych.questions.found_by_base import Finding

_NOT_FOUND, _OTHER_BETTER = "not_found_by_base", "other_chunk_answers_better"
_LONGEST = 128  # tokens of a passage that are embedded while the length is not chosen yet (tokenize.max_length: auto)


def main(argv: list[str] | None = None) -> None:
    """Ask what the journal lacks, if there is an endpoint; write the questions that are kept, and counts."""
    args = paths(__doc__, "corpus", "journals", "examples", "questions", "metrics", "vectors", argv=argv)
    params = load_params()
    settings = params.ask
    chunks = read_chunks(args.corpus / "chunks.parquet")
    journal = Journal(_journal_path(settings, args))
    chosen = candidates(chunks, settings.max_chunks)
    texts = {chunk.chunk_id: text_key(shown_text(chunk)) for chunk in chunks} if settings.journal else {}
    prompt = prompt_name(settings.questions_per_chunk)
    taken = journal.taken(texts, prompt, settings.model)
    if settings.base_url is not None:
        to_ask = _not_answered(chosen, chunks, taken)
        with journal:
            asked = asyncio.run(_ask(to_ask, journal, settings))
        _print_asked(asked, len(to_ask), settings)
        taken = journal.taken(texts, prompt, settings.model)

    questions = [
        WrittenQuestion(chunk.chunk_id, text, form)
        for chunk in chunks
        if chunk.chunk_id in taken.records
        for text, form in taken.records[chunk.chunk_id].questions
    ]
    reasons, to_label = _filtered(questions, chunks, params, args)
    kept = [one for one, reason in zip(questions, reasons, strict=True) if reason is None]
    with writing(args.questions) as out:
        write_questions(out / "questions.jsonl", kept)
        write_jsonl(out / "to_label.jsonl", to_label)
    metrics = _metrics(chunks, chosen, taken, questions, reasons)
    known = read_queries(args.corpus)
    test = [known[query_id] for query_id in read_qrels(args.corpus / "qrels/test.tsv")]
    metrics["test_overlap"] = written_overlap_metrics(test, kept)
    write_json(args.metrics, metrics)
    print_warnings(_warnings(metrics, settings), args.metrics)
    print_line(_summary(len(kept), len(questions), kept, settings, args.questions))


def _journal_path(settings: Ask, args: Namespace) -> Path | None:
    """Return the path of the journal, which must be where DVC sees that it changes."""
    if settings.journal is None:
        return None
    path = Path(settings.journal)
    folders = [args.journals, args.examples]
    if not any(path.resolve().is_relative_to(folder.resolve()) for folder in folders):
        names = " and ".join(folder.as_posix() for folder in folders)
        raise UserError(f"ask.journal: {path} is outside of {names}, the folders in which DVC sees changes; move it")
    if path.is_dir():
        raise UserError(f"ask.journal: {path} is a folder; name a file in it")
    if settings.base_url is None and not path.exists():
        raise UserError(f"ask.journal: {path} does not exist; correct it, or set ask.journal: null for no questions")
    return path


def _not_answered(chosen: Candidates, chunks: list[Chunk], taken: Taken) -> list[Chunk]:
    """Return the chosen chunks that have no answer; that of a near-duplicate counts."""
    clusters = {chunk.cluster_id for chunk in chunks if chunk.chunk_id in taken.answered} - {-1}
    return [one for one in chosen.chunks if one.chunk_id not in taken.answered and one.cluster_id not in clusters]


async def _ask(chunks: list[Chunk], journal: Journal, settings: Ask) -> Asked:
    about, most = estimate(chunks, settings)
    left = max(settings.max_tokens - journal.tokens, 0)
    print_line(
        f"ask: {len(chunks):,} chunks to ask {settings.model} about; about {about:,} tokens, at most {most:,};"
        f" ask.max_tokens leaves {left:,}"
    )
    url, model = str(settings.base_url), str(settings.model)
    report: Callable[[str], object] = (lambda line: None) if is_quiet() else print_line
    async with Endpoint(url, model, api_key(), settings.timeout_s, settings.concurrency) as endpoint:
        return await ask_all(endpoint, chunks, journal, settings, report)


def _print_asked(asked: Asked, number: int, settings: Ask) -> None:
    if asked.failed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in asked.failed.items())
        print_line(
            f"warning: requests without an answer: {reasons}; the next run sends them again, except rejected ones"
        )
    if asked.unaffordable:
        print_line(
            f"warning: ask.max_tokens ({settings.max_tokens:,}) is used up; {asked.unaffordable:,} of {number:,} chunks"
            " were not asked about: raise it to go on"
        )


def _filtered(
    questions: list[WrittenQuestion], chunks: list[Chunk], params: Params, args: Namespace
) -> tuple[list[str | None], list[dict[str, Any]]]:
    """Return why each question is dropped, or None, and the pairs of a question and a better chunk to be judged."""
    language = read_language(args.corpus)
    queries = read_queries(args.corpus)
    judged = (
        queries[one].text for split in ("dev", "test") for one in read_qrels(args.corpus / "qrels" / f"{split}.tsv")
    )
    reasons = TextFilter(chunks, judged, language).reasons(questions)
    rows = [row for row, reason in enumerate(reasons) if reason is None]
    to_label: list[dict[str, Any]] = []
    if params.ask.found_in_top and rows:
        findings = _find([questions[row] for row in rows], chunks, language, params, args.vectors)
        for row, finding in zip(rows, findings, strict=True):
            if finding.better is not None:
                reasons[row], one = _OTHER_BETTER, questions[row]
                to_label.append({"text": one.text, "written_for": one.chunk_id, "found_first": finding.better})
            elif finding.rank is None:
                reasons[row] = _NOT_FOUND
    return reasons, to_label


def _find(
    questions: list[WrittenQuestion], chunks: list[Chunk], language: str, params: Params, vectors: Path
) -> "Sequence[Finding]":
    """Search the questions with the base model, by the beginnings of passages, and BM25."""
    from triptych.encoding.text_encoder import TextEncoder
    from triptych.models.loading import base_weights, load_frozen
    from triptych.questions.found_by_base import BaseSearch
    from triptych.retrieval.lexical import LexicalIndex

    ids = [chunk.chunk_id for chunk in chunks]
    passages = [passage(chunk, params.triplets.text_template) for chunk in chunks]
    model = load_frozen(params.model, base_weights(params.train))
    length = params.tokenize.max_length
    length = length if isinstance(length, int) else _LONGEST
    model.max_seq_length = min(model.max_seq_length or length, length)
    encoder = TextEncoder(model, params.train.precision, "ask")
    search = BaseSearch(chunks, encoder.passages(passages, vectors), LexicalIndex(ids, passages, language))
    return search.find(questions, encoder.questions([one.text for one in questions], vectors), params.ask.found_in_top)


def _metrics(
    chunks: list[Chunk],
    chosen: Candidates,
    taken: Taken,
    questions: list[WrittenQuestion],
    reasons: list[str | None],
) -> dict[str, Any]:
    """Return counts that depend on the journal and the corpus only, not on what this run asked."""
    category_of = {chunk.chunk_id: category_label(chunk.category) for chunk in chunks}
    by_category: dict[str, Counter[str]] = {name: Counter() for name in [ALL, *sorted(set(category_of.values()))]}
    with_questions = {one.chunk_id for one, reason in zip(questions, reasons, strict=True) if reason is None}
    for chunk in chunks:
        for name in (ALL, category_of[chunk.chunk_id]):
            by_category[name]["chunks"] += 1
            by_category[name]["with_questions"] += chunk.chunk_id in with_questions
    for one, reason in zip(questions, reasons, strict=True):
        for name in (ALL, category_of[one.chunk_id]):
            by_category[name]["questions"] += 1
            by_category[name]["kept"] += reason is None
    dropped = Counter(reason for reason in reasons if reason is not None)
    forms = Counter(one.form or "unknown" for one, reason in zip(questions, reasons, strict=True) if reason is None)
    records = taken.records.values()
    return {
        "by_category": {
            name: {key: counts[key] for key in ("chunks", "with_questions", "questions", "kept")}
            for name, counts in by_category.items()
        },
        "dropped": {reason: dropped[reason] for reason in (*TEXT_REASONS, _NOT_FOUND, _OTHER_BETTER)},
        "forms": dict(forms),
        "not_asked": {"near_duplicate": chosen.copies, "short": chosen.short},
        "records": taken.counts,
        "without_questions": dict(Counter(one.reason or "unknown" for one in records if not one.questions)),
        "models": dict(Counter(one.model or "unknown" for one in records)),
        "tokens": sum(one.tokens for one in records),
    }


def _warnings(metrics: dict[str, Any], settings: Ask) -> list[str]:
    warnings, records = [], metrics["records"]
    lost = records["gone"] + records["changed"]
    if lost:
        of_another = "" if records["taken"] else "; it is the journal of another corpus (ask.journal: null has none)"
        warnings.append(f"{lost:,} records of {settings.journal} are about chunks that are gone or changed{of_another}")
    total, *categories = metrics["by_category"].items()
    if total[1]["with_questions"]:
        bare = [name for name, counts in categories if not counts["with_questions"]]
        warnings += [f"{name}: no chunk has a question" for name in bare]
    return warnings


def _summary(kept: int, number: int, questions: list[WrittenQuestion], settings: Ask, folder: Path) -> str:
    if not number:
        if settings.journal is None:
            return f"ask: no questions, since ask.journal is null; {folder}"
        return f"ask: no questions in {settings.journal} for these chunks; {folder}"
    covered = len({one.chunk_id for one in questions})
    return f"ask: {kept:,} of {number:,} written questions kept, for {covered:,} chunks; {folder}"


if __name__ == "__main__":
    run(main, "--journals", "--examples")
