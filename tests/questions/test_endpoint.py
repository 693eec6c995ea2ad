"""The client against endpoints that misbehave in every way that was thought of."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from scripted_endpoint import Reply, completion, endpoint, questions

from triptych.errors import UserError
from triptych.questions.endpoint import Endpoint, UnansweredError, api_key

MESSAGES = [{"role": "system", "content": "Write."}, {"role": "user", "content": "About pumps."}]
GOOD = questions("how to clean a pump")


def ask(url, key=None, timeout=5.0, times=1, first_wait=0.01):
    async def run():
        async with Endpoint(url, "tiny", key, timeout, 4, first_wait) as client:
            return await asyncio.gather(*[client.ask(MESSAGES, 50) for _ in range(times)])

    return asyncio.run(run())


def test_answer_finish_and_tokens_are_read_and_the_request_is_what_every_endpoint_accepts():
    with endpoint(lambda number, asked: GOOD) as served:
        (answer,) = ask(served.url)
    assert (answer.text, answer.finish, answer.refused, answer.tokens) == (GOOD, "stop", False, 120)
    assert served.requests[0].payload == {"model": "tiny", "messages": MESSAGES, "max_tokens": 50}
    assert "Authorization" not in served.requests[0].headers


def test_the_key_is_sent_and_never_printed():
    def reply(number, asked):
        return Reply(f'{{"error": {{"message": "wrong key {asked.headers["Authorization"]}"}}}}', 401)

    with endpoint(reply) as served, pytest.raises(UserError) as error:
        ask(served.url, key="secret-of-mine")
    assert served.requests[0].headers["Authorization"] == "Bearer secret-of-mine"
    assert "wrong key Bearer <key>" in str(error.value)
    assert "TRIPTYCH_ASK_KEY" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
def test_an_overloaded_endpoint_is_asked_again(status):
    with endpoint(lambda number, asked: GOOD if number == 4 else Reply("no", status)) as served:
        assert ask(served.url)[0].text == GOOD
    assert len(served.requests) == 4


def test_an_endpoint_that_stays_overloaded_is_given_up_after_six_tries():
    with endpoint(lambda number, asked: Reply("busy", 500)) as served, pytest.raises(UnansweredError) as error:
        ask(served.url)
    assert len(served.requests) == 6
    assert (error.value.reason, error.value.may_cost) == ("unavailable", False)
    assert "status 500: busy, 6 times" in str(error.value)


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_holds_back_all_requests(as_date):
    def reply(number, asked):
        if number > 1:
            return GOOD
        wait = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if as_date else "0.6"
        return Reply("slow down", 429, {"Retry-After": wait})

    async def run(url):
        async with Endpoint(url, "tiny", None, 5.0, 4, 0.01) as client:
            first = asyncio.create_task(client.ask(MESSAGES, 50))
            await asyncio.sleep(0.3)
            await asyncio.gather(first, client.ask(MESSAGES, 50), client.ask(MESSAGES, 50))

    with endpoint(reply) as served:
        asyncio.run(run(served.url))
    first, *others = [one.time for one in served.requests]
    assert len(others) == 3
    assert min(others) - first >= 0.58


@pytest.mark.parametrize("wait", ["soon", "", "nan", "-5"])
def test_a_retry_after_that_is_neither_number_nor_date_is_not_waited_for(wait):
    with endpoint(lambda n, asked: GOOD if n == 2 else Reply("no", 429, {"Retry-After": wait})) as served:
        started = time.monotonic()
        ask(served.url)
    assert time.monotonic() - started < 2


def test_an_hour_of_waiting_is_refused():
    with (
        endpoint(lambda number, asked: Reply("no", 429, {"Retry-After": "3600"})) as served,
        pytest.raises(UserError, match="asks to wait 3,600 s; run the stage again later"),
    ):
        ask(served.url)


def test_waiting_times_double():
    with endpoint(lambda number, asked: GOOD if number == 4 else Reply("no", 500)) as served:
        ask(served.url, first_wait=0.1)
    times = [one.time for one in served.requests]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[0] < waits[1] < waits[2]
    assert waits[2] >= 0.3


@pytest.mark.parametrize(
    "reply", [Reply(completion(GOOD), seconds=3.0), Reply(completion(GOOD), drip=0.05)], ids=["hangs", "drips"]
)
def test_an_answer_that_takes_too_long_is_not_asked_for_again(reply):
    started = time.monotonic()
    with endpoint(lambda number, asked: reply) as served, pytest.raises(UnansweredError) as error:
        ask(served.url, timeout=0.4)
    assert time.monotonic() - started < 2
    assert (error.value.reason, error.value.may_cost) == ("timeout", True)
    assert len(served.requests) == 1


BROKEN = {
    "html": "<html>Welcome</html>",
    "cut JSON": completion(GOOD)[:40],
    "empty": "",
    "no choices": '{"choices": []}',
    "list": "[1, 2]",
    "number": "7",
    "null message": '{"choices": [{"message": null}]}',
    "deep": "[" * 200_000,
    "huge": completion("x" * 1_500_000),
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_a_body_that_is_not_an_answer_may_have_cost_tokens(body):
    with endpoint(lambda number, asked: Reply(body)) as served, pytest.raises(UnansweredError) as error:
        ask(served.url)
    assert (error.value.reason, error.value.may_cost) == ("broken", True)
    assert len(str(error.value)) < 500


def test_a_connection_cut_within_the_answer_may_have_cost_tokens():
    with endpoint(lambda number, asked: Reply(completion(GOOD), cut=30)) as served:
        with pytest.raises(UnansweredError) as error:
            ask(served.url)
        assert (error.value.reason, error.value.may_cost) == ("broken", True)


def test_a_connection_cut_before_the_answer_is_tried_again():
    with endpoint(lambda number, asked: Reply(hang_up=True) if number < 3 else GOOD) as served:
        assert ask(served.url)[0].text == GOOD


CONTENTS = {
    "parts": ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 3], "ab"),
    "null": (None, ""),
    "number": (5, ""),
    "object": ({"text": "a"}, ""),
}


@pytest.mark.parametrize(("content", "text"), CONTENTS.values(), ids=CONTENTS.keys())
def test_content_of_any_type_is_read_as_text_or_as_empty(content, text):
    with endpoint(lambda number, asked: Reply(completion(content))) as served:
        assert ask(served.url)[0].text == text


@pytest.mark.parametrize(
    "usage",
    [None, (0, 0), (-5, 3), ("1", "2"), (1.5, 2), (None, None)],
    ids=["none", "0", "-", "text", "float", "null"],
)
def test_tokens_that_cannot_be_right_are_unknown(usage):
    with endpoint(lambda number, asked: Reply(completion(GOOD, usage=usage))) as served:
        assert ask(served.url)[0].tokens is None


@pytest.mark.parametrize("message", [{"refusal": "I cannot"}, {}])
def test_a_refusal_is_known_by_its_field_or_the_reason_to_stop(message):
    finish = "stop" if message else "content_filter"
    with endpoint(lambda number, asked: Reply(completion(None, finish, **message))) as served:
        assert ask(served.url)[0].refused


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_refused_costs_nothing_and_is_not_sent_again(status):
    body = '{"error": {"message": "context length exceeded", "code": "too_long"}}'
    with endpoint(lambda number, asked: Reply(body, status)) as served, pytest.raises(UnansweredError) as error:
        ask(served.url)
    assert (error.value.reason, error.value.may_cost, len(served.requests)) == ("rejected", False, 1)
    assert "context length exceeded too_long" in str(error.value)


FINAL = {
    "unknown model": (Reply('{"error": "model tiny not found"}', 404), "model tiny not found; check ask.base_url"),
    "forbidden": (Reply('{"detail": "no"}', 403), "status 403: no; set the API key in TRIPTYCH_ASK_KEY"),
    "no money": (Reply("pay", 402), "status 402: pay; what was answered before is in the journal"),
    "no quota": (Reply('{"error": {"message": "x", "code": "insufficient_quota"}}', 429), "insufficient_quota"),
    "elsewhere": (Reply("", 307, {"Location": "http://evil.test/v1"}), "redirects to http://evil.test/v1; give the"),
    "terminal codes": (Reply("\x1b[31mred\x00\n line", 404), "status 404: [31mred line"),
}


@pytest.mark.parametrize(("reply", "message"), FINAL.values(), ids=FINAL.keys())
def test_what_no_further_request_can_cure_ends_the_run(reply, message):
    with endpoint(lambda number, asked: reply) as served, pytest.raises(UserError) as error:
        ask(served.url)
    assert message in str(error.value)
    assert len(served.requests) == 1


def test_the_newer_name_of_the_limit_is_used_where_only_that_is_accepted():
    def reply(number, asked):
        if "max_tokens" in asked.payload:
            return Reply('{"error": {"message": "Use max_completion_tokens instead of max_tokens"}}', 400)
        return GOOD

    with endpoint(reply) as served:
        ask(served.url)
        assert served.requests[-1].payload["max_completion_tokens"] == 50


def test_an_endpoint_that_is_down_is_named_with_a_remedy():
    with endpoint(lambda number, asked: GOOD) as served:
        url = served.url
    with pytest.raises(UserError, match=r"cannot connect to .*/v1/chat/completions .*; start the endpoint, or set"):
        ask(url)


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({}, None),
        ({"OPENAI_API_KEY": "b"}, "b"),
        ({"TRIPTYCH_ASK_KEY": " a\n", "OPENAI_API_KEY": "b"}, "a"),
        ({"TRIPTYCH_ASK_KEY": "", "OPENAI_API_KEY": "b"}, "b"),
    ],
)
def test_the_key_comes_from_the_environment(environment, key):
    assert api_key(environment) == key


@pytest.mark.parametrize("key", ["a\nb", "ключ", "a b"])
def test_a_key_that_cannot_be_sent_is_refused_without_repeating_it(key):
    with pytest.raises(UserError) as error:
        api_key({"TRIPTYCH_ASK_KEY": key})
    assert key not in str(error.value)
