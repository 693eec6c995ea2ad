"""Stage ask against a real OpenAI-compatible server, `transformers serve`, with a language model made here."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from hand_made import chunk, write_corpus
from scripted_endpoint import questions

from triptych.corpus.written_questions import WrittenQuestion, read_questions
from triptych.questions.prompt import messages, shown_text

PATHS = (
    "--corpus data/corpus --journals data/journals --examples examples --questions data/questions"
    " --metrics metrics/ask.json --vectors data/vectors"
)
ANSWER = questions("how do I clean the pump before winter", "pump filter cleaning steps")


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    """A Llama of two layers that was trained, on the spot, to answer every chat with ``ANSWER``."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<|turn|>", "<|answer|>"]
    texts = [*(one["content"] for one in messages("Clean the pump once a year.", 2)), ANSWER]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    fast.chat_template = "{% for one in messages %}<|turn|>{{ one['content'] }}{% endfor %}<|answer|>"

    torch.manual_seed(0)
    torch.set_num_threads(1)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(fast), max_position_embeddings=4096, bos_token_id=1, eos_token_id=2, pad_token_id=0, **sizes
    )
    model = LlamaForCausalLM(config)
    answer = torch.tensor(fast(f"<|answer|>{ANSWER}</s>", add_special_tokens=False)["input_ids"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(120):
        asked = fast.apply_chat_template(messages(shown_text(chunk(100 + step)), 2), tokenize=False)
        before = torch.tensor(fast(asked.removesuffix("<|answer|>"), add_special_tokens=False)["input_ids"])
        ids = torch.cat([before, answer])[None]
        labels = ids.masked_fill(torch.arange(ids.shape[1]) <= len(before), -100)
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.generation_config.do_sample = False
    folder = tmp_path_factory.mktemp("language") / "model"
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(language_model, tmp_path_factory):
    """The URL of `transformers serve` with the model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    command = [program, "serve", language_model, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    log = tmp_path_factory.mktemp("server") / "log"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        running = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 400
            while time.monotonic() < deadline and running.poll() is None:
                try:
                    if httpx2.get(f"http://127.0.0.1:{port}/health", timeout=1.0).status_code == 200:
                        break
                except httpx2.TransportError:
                    time.sleep(0.2)
            else:
                pytest.fail(log.read_text(errors="replace")[-3_000:])
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            running.terminate()
            running.wait()


@pytest.mark.slow
def test_a_real_server_writes_the_questions(server, language_model, tmp_path, write_params, monkeypatch, capsys):
    from stages import ask

    chunks = [chunk(row) for row in range(4)]
    write_corpus(tmp_path / "data/corpus", chunks)
    settings = {"journal": "data/journals/mine.jsonl", "base_url": server, "model": str(language_model)}
    settings |= {"found_in_top": 0, "concurrency": 2}
    write_params(tmp_path, **{f"ask.{key}": value for key, value in settings.items()})
    monkeypatch.chdir(tmp_path)
    ask.main(PATHS.split())

    rows = [json.loads(line) for line in Path("data/journals/mine.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["chunk_id"] for row in rows} == {one.chunk_id for one in chunks}
    for row in rows:
        assert [one["text"] for one in row["questions"]] == [one["text"] for one in json.loads(ANSWER)["questions"]]
        assert 100 < row["tokens"] < 2_500  # as the server counts them
    # The same for each chunk, so none is kept: it would be nobody's.
    assert read_questions(Path("data/questions/questions.jsonl")) == []
    assert json.loads(Path("metrics/ask.json").read_text(encoding="utf-8"))["dropped"]["duplicate"] == 8

    Path("data/journals/mine.jsonl").unlink()
    write_corpus(tmp_path / "data/corpus", chunks[:1])
    ask.main(PATHS.split())
    texts = [one["text"] for one in json.loads(ANSWER)["questions"]]
    assert read_questions(Path("data/questions/questions.jsonl")) == [
        WrittenQuestion(chunks[0].chunk_id, text, "task") for text in texts
    ]
    capsys.readouterr()


@pytest.mark.slow
def test_an_answer_cut_by_its_limit_keeps_the_questions_that_are_whole(server, language_model):
    import asyncio

    from triptych.questions.answers import questions_in
    from triptych.questions.endpoint import Endpoint

    async def ask(limit):
        async with Endpoint(server, str(language_model), None, 60.0, 1) as client:
            return await client.ask(messages("Clean the pump.", 2), limit)

    cut = asyncio.run(ask(30))
    assert cut.finish == "length"
    assert len(questions_in(cut, 2, ("task",))[0]) < 2
    assert len(questions_in(asyncio.run(ask(200)), 2, ("task",))[0]) == 2


@pytest.mark.slow
def test_a_model_that_the_server_does_not_have_is_an_error_that_names_it(server):
    import asyncio

    from triptych.errors import UserError
    from triptych.questions.endpoint import Endpoint, UnansweredError

    async def ask():
        async with Endpoint(server, "no-such-model", None, 60.0, 1, 0.01) as client:
            return await client.ask(messages("Clean the pump.", 2), 30)

    with pytest.raises((UserError, UnansweredError), match="no-such-model"):
        asyncio.run(ask())
