import asyncio
import tracemalloc

import pytest

from tests.unit.serve.conftest import Site, form, part, png, problem

MULTIPART = "multipart/form-data; boundary=B"
FEW = {"max_files": 3, "max_request_mb": 0.25}


@pytest.fixture(scope="module")
def small(tiny_model):
    """A service that takes little at once."""
    return Site(tiny_model.store, **FEW)


def post_form(site, body, kind=MULTIPART):
    return site.post(body, headers={"content-type": kind})


def test_parts_are_scored_in_their_order_under_their_names(site, dots, pictures):
    stripes = pictures["stripes/test/good/1.png"]
    sent = [("b.png", stripes), ("ä b.png", dots), ("b.png", dots), ("", stripes)]
    body = form(*((part(filename=name.encode()), data) for name, data in sent))
    items = post_form(site, body).json()["items"]
    assert [(item["name"], item["category"]) for item in items] == [
        ("b.png", "stripes"),
        ("ä b.png", "dots"),
        ("b.png", "dots"),
        ("", "stripes"),
    ]


def test_as_many_files_are_taken_as_the_limit_says_and_no_more(small, dots):
    assert len(small.send(*[("a", dots)] * 3).json()["items"]) == 3
    found = problem(small.send(*[("a", dots)] * 4), 413)
    assert "at most 3 pictures" in found["detail"]


MB = 2**20
FILE = part()
# body, content type -> status, words of the detail
WRONG = {
    "empty": (b"", "image/png", 400, "the body is empty"),
    "empty part": (form((FILE, b"")), MULTIPART, 400, "a.png is empty"),
    "empty part without a name": (form((part(filename=b""), b"")), MULTIPART, 400, "is empty"),
    "no part": (form(), MULTIPART, 400, "no part called `file`"),
    "part without a file name": (form((part(filename=None), b"x")), MULTIPART, 400, "curl -F file=@a.png"),
    "part without any name": (form((b'Content-Disposition: form-data; filename="a"', b"x")), MULTIPART, 400, "name"),
    "part without headers": (form((b"", b"x")), MULTIPART, 400, "multipart"),
    "strange part": (form((part(name=b"image"), b"x")), MULTIPART, 400, "'image'"),
    "strange part with a line break": (form((part(name=b"im\xc2\x85age"), b"x")), MULTIPART, 400, "called"),
    "depth": (form((FILE, b"x"), (part(name=b"depth"), b"x")), MULTIPART, 400, "`depth`"),
    "depth as a field": (form((FILE, b"x"), (part(b"depth", None), b"x")), MULTIPART, 400, "`depth`"),
    "too many fields": (form(*[(part(b"file", None), b"x")] * 20), MULTIPART, 413, "too many parts"),
    "no boundary": (form((FILE, b"x")), "multipart/form-data", 400, "multipart/form-data"),
    "empty boundary": (form((FILE, b"x")), "multipart/form-data; boundary=", 400, "multipart/form-data"),
    "endless boundary": (form((FILE, b"x")), f"{MULTIPART}{'B' * 5000}", 400, "multipart/form-data"),
    "quoted boundary": (form((FILE, b"x")), 'multipart/form-data; boundary="B\\"B"', 400, "multipart/form-data"),
    "another boundary": (form((FILE, b"x"), boundary=b"C"), MULTIPART, 400, "multipart/form-data"),
    "garbage": (b"garbage", MULTIPART, 400, "multipart/form-data"),
    "cut off in the second part": (
        form((FILE, b"x"), (FILE, b"yz"), end=False)[:-3],
        MULTIPART,
        400,
        "ends too early",
    ),
    "cut off before the last boundary": (form((FILE, b"x"), end=False), MULTIPART, 400, "ends too early"),
    "text": (b"hello", "text/plain", 415, "text/plain"),
    "json": (b"{}", "application/json", 415, "application/json"),
    "type with a line break in it": (b"{}", "a/\x0b b", 415, "no picture"),
    "too large": (bytes(MB), "image/png", 413, "0.25 MB"),
    "too large a form": (form((FILE, bytes(MB))), MULTIPART, 413, "0.25 MB"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_body_is_refused_in_one_line_and_the_next_request_is_answered(small, dots, name):
    body, kind, status, words = WRONG[name]
    found = problem(small.post(body, headers={"content-type": kind}), status)
    assert words in found["detail"]
    assert small.post(dots).status_code == 200


def test_a_picture_sent_as_a_field_is_told_how_to_be_a_file_however_large_it_is(site):
    found = problem(post_form(site, form((part(filename=None), bytes(2 * MB)))), 400)
    assert "curl -F file=@a.png" in found["detail"]


@pytest.mark.parametrize(
    "codec", ["undefined", "punycode", "idna", "unicode_escape", "utf-16", "hex", "\0", "utf-8", "x"]
)
def test_a_charset_of_the_clients_choice_decodes_nothing(site, dots, codec):
    body = form((part(filename="\\ud800ä".encode()), dots))
    response = post_form(site, body, f"{MULTIPART}; charset={codec}")
    assert [item["name"] for item in response.json()["items"]] == ["\\ud800ä"]


def test_file_names_that_are_no_utf8_and_no_ascii_come_back_as_they_can(site, dots):
    names = [b"\xff\x00", b"\xed\xa0\x80", "\U0001f600".encode(), b"a" * 3000]
    response = post_form(site, form(*((part(filename=name), dots) for name in names)))
    got = [item["name"] for item in response.json()["items"]]
    assert got == ["ÿ\0", "\xed\xa0\x80", "\U0001f600", "a" * 3000]


def test_all_bad_pictures_of_a_request_are_named(site, dots):
    found = problem(site.send(("a.png", b"x"), ("b.png", dots), ("c.png", dots[:-300])), 400)
    assert [error["name"] for error in found["errors"]] == ["a.png", "c.png"]
    assert "2 of 3 pictures" in found["detail"]
    found = problem(site.send(("a.png", b"x"), ("b.png", png(50_000, 50_000))), 413)
    assert [error["name"] for error in found["errors"]] == ["a.png", "b.png"]


def call(site, chunks, headers=(), path="/v1/score"):
    """Ask the application itself: `chunks` is an iterator of messages; returns status and how many were read."""
    read = 0
    sent = []

    async def receive():
        nonlocal read
        read += 1
        message = next(chunks, None)
        if message is None:
            await asyncio.Event().wait()  # the client sends nothing more
        return message

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": list(headers)}
    asyncio.run(site.api(scope, receive, send))
    return sent[0]["status"], read


def messages(*bodies, more=True):
    yield from ({"type": "http.request", "body": body, "more_body": True} for body in bodies)
    if not more:
        yield {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize("announced", [b"262145", b"99999999999999999999", b"9" * 5000])
def test_a_body_announced_as_too_large_is_refused_unread(small, announced):
    assert call(small, messages(), [(b"content-length", announced)]) == (413, 0)


@pytest.mark.parametrize("announced", [b"-1", b"x", b"1e9", b"\xb2"])
def test_an_announcement_that_is_no_number_does_not_count(small, dots, announced):
    assert call(small, messages(dots, more=False), [(b"content-length", announced)])[0] == 200


def test_a_body_in_chunks_is_read_up_to_the_limit_and_no_further(small):
    assert call(small, messages(*[bytes(100_000)] * 50)) == (413, 3)


def test_of_many_chunks_no_more_is_held_than_the_limit(small):
    tracemalloc.start()
    try:
        call(small, ({"type": "http.request", "body": bytes(10_000), "more_body": True} for _ in range(10_000)))
        assert tracemalloc.get_traced_memory()[1] < 2 * MB
    finally:
        tracemalloc.stop()


def test_a_body_that_does_not_come_is_given_up(tiny_model, dots):
    site = Site(tiny_model.store, upload_timeout_s=0.05)
    assert call(site, messages(dots[:100]))[0] == 408
    assert site.post(dots).status_code == 200


def test_a_client_that_leaves_is_no_mistake_of_ours(site, dots, caplog):
    status, _ = call(site, iter([*messages(dots[:100]), {"type": "http.disconnect"}]))
    assert status == 400
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
