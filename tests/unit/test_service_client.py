import base64
import email
import itertools
import json
import os
import socket
import sys
import threading
import time

import httpx
import pytest

from eagleray.data import RgbdSample, Sample
from eagleray.errors import BadImage, ConfigError, ServiceError, UnknownClass
from eagleray.service_client import Route, Scored, ServiceClient
from eagleray.service_client import client as client_module

ADDRESS = "http://line-3:8000"
MODEL = {"model_version": 3, "categories": [{"name": "nut"}], "limits": {"max_request_mb": 64}}
ITEM = {
    "name": None,
    "score": 1.25,
    "p_value": 0.1,
    "verdict": "good",
    "anomalous": False,
    "threshold": 2,
    "category": "nut",
    "expert": 7,
    "routing": [{"category": "nut", "expert": 7, "distance": 0.5}],
    "heatmap": None,
}


def answer(**fields):
    return httpx.Response(200, json={"model_version": 3, "items": [ITEM | fields], "new_field": 1})


def problem(status, detail, **headers):
    return httpx.Response(status, json={"status": status, "detail": detail}, headers=headers)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Do not wait between attempts, but for what the service itself asks for."""
    monkeypatch.setattr(client_module, "_FIRST_DELAY_S", 0.0)


@pytest.fixture
def connect():
    """A client whose requests for scores go to a function."""
    clients = []

    def connect(score, **options):
        def handle(request):
            request.read()
            return score(request) if request.url.path == "/v1/score" else httpx.Response(200, json=MODEL)

        clients.append(ServiceClient(ADDRESS, transport=httpx.MockTransport(handle), **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def files(tmp_path):
    """Files that each hold their own number."""
    paths = [tmp_path / f"{number}.png" for number in range(40)]
    for number, path in enumerate(paths):
        path.write_bytes(str(number).encode())
    return paths


def echo(request):
    return answer(score=float(request.content))


def test_a_picture_is_sent_as_it_is_and_the_answer_read(connect):
    seen = []
    client = connect(lambda request: seen.append(request) or answer())
    scored = client.score(b"bytes", name="a.png", category="nut & bolt")
    assert scored == Scored(
        score=1.25, p_value=0.1, verdict="good", anomalous=False, threshold=2.0, category="nut", expert=7,
        routing=(Route("nut", 7, 0.5),), model_version=3, heatmap=None,
    )  # fmt: skip
    assert (seen[0].method, seen[0].content) == ("POST", b"bytes")
    assert dict(seen[0].url.params) == {"heatmap": "none", "category": "nut & bolt"}


def test_a_picture_of_an_unknown_product_is_neither_good_nor_anomalous(connect):
    scored = connect(lambda _: answer(verdict="unknown", anomalous=None)).score(b"", name="a.png")
    assert (scored.verdict, scored.anomalous) == ("unknown", None)


def test_a_heat_map_comes_as_bytes(connect):
    def score(request):
        assert request.url.params["heatmap"] == "png"
        return answer(heatmap=base64.b64encode(b"PNG").decode())

    assert connect(score).score(b"", name="a.png", heatmap=True).heatmap == b"PNG"


def test_answers_come_in_order_although_the_service_gives_them_in_another(connect, files):
    later = threading.Event()

    def score(request):
        if request.content == b"0":
            assert later.wait(30)
        if request.content == b"3":
            later.set()
        return echo(request)

    found = connect(score).score_files(files, concurrency=4)
    assert [scored.score for scored in found] == list(range(40))


def test_as_many_requests_as_asked_for_are_under_way_at_once_and_never_more(connect, files):
    together, lock, under_way, most = threading.Barrier(4), threading.Lock(), 0, 0

    def score(request):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        together.wait(30)  # passes only where four are here
        with lock:
            under_way -= 1
        return echo(request)

    assert len(list(connect(score).score_files(files, concurrency=4))) == 40
    assert most == 4


def test_paths_are_taken_only_a_little_ahead_of_the_answers_read(connect, files):
    taken = 0

    def endless():
        nonlocal taken
        for path in itertools.cycle(files):
            taken += 1
            yield path

    found = connect(echo).score_files(endless(), concurrency=4)
    for read in range(1, 101):
        next(found)
        assert taken <= read + 8
    found.close()


def test_no_file_is_read_before_its_turn(connect, files):
    found = connect(echo).score_files(files, concurrency=2)
    next(found)
    files[-1].write_bytes(b"77")
    assert [scored.score for scored in found][-1] == 77


def test_a_busy_service_is_asked_again_after_the_time_it_names(connect):
    answers = iter([problem(503, "busy", **{"Retry-After": "1"}), problem(429, "busy"), answer()])
    began = time.monotonic()
    assert connect(lambda _: next(answers)).score(b"", name="a.png").score == 1.25
    assert time.monotonic() - began >= 1


def test_a_picture_that_arrived_too_slowly_is_sent_again(connect):
    answers = iter([problem(408, "the body did not arrive within 30 s"), answer()])
    assert connect(lambda _: next(answers)).score(b"", name="a.png").score == 1.25


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError])
def test_a_lost_connection_is_tried_again(connect, error):
    tries = itertools.count()

    def score(request):
        if next(tries) < 2:
            raise error("gone", request=request)
        return answer()

    assert connect(score).score(b"", name="a.png").score == 1.25


def test_after_the_last_attempt_the_error_says_what_the_service_said(connect):
    tries = itertools.count(1)
    client = connect(lambda _: problem(503, f"busy {next(tries)}"), retries=2)
    with pytest.raises(ServiceError, match=r"answers 503 \(busy 3\) in 3 attempts; try again later"):
        client.score(b"", name="a.png")


def test_nobody_waits_longer_than_a_minute_for_a_service_that_asks_for_an_hour(connect):
    client = connect(lambda _: problem(503, "busy", **{"Retry-After": "3600"}))
    with pytest.raises(ServiceError, match="busy"):
        client.score(b"", name="a.png")


def test_intervals_double_up_to_a_limit_and_differ(monkeypatch):
    monkeypatch.setattr(client_module, "_FIRST_DELAY_S", 0.2)
    for attempt, longest_s in ((1, 0.2), (2, 0.4), (5, 3.2), (9, 10), (100, 10)):
        delays_s = [client_module._backoff_s(attempt) for _ in range(50)]
        assert longest_s / 2 <= min(delays_s) < max(delays_s) <= longest_s


@pytest.mark.parametrize("status", [400, 413, 415])
def test_a_picture_that_the_service_does_not_take_is_an_answer_and_the_others_are_scored(connect, files, status):
    client = connect(lambda request: problem(status, "is odd") if request.content == b"1" else echo(request))
    found = list(client.score_files(files[:3]))
    assert [type(one) for one in found] == [Scored, BadImage, Scored]
    assert found[1].args == (str(files[1]), "is odd")


def test_a_file_that_is_gone_or_too_large_is_an_answer_and_is_not_sent(connect, files, monkeypatch):
    monkeypatch.setitem(MODEL, "limits", {"max_request_mb": 0.5})
    files[0].unlink()
    files[1].write_bytes(bytes(2**20))
    gone, large, _ = connect(echo).score_files(files[:3])
    assert (str(gone), str(large)) == (
        f"{files[0]}: cannot be read (No such file or directory); replace or delete it",
        f"{files[1]}: has 1 MB, the service takes 0.5 MB at most; make it smaller",
    )


def parts_of(request):
    """Of a multipart body: name, file name and content of each part."""
    message = email.message_from_bytes(
        b"Content-Type: " + request.headers["Content-Type"].encode() + b"\n\n" + request.content
    )
    return [
        (part.get_param("name", header="Content-Disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in message.get_payload()
    ]


def rgbd(folder, *, depth=b"points", depth_range=None):
    (folder / "a.png").write_bytes(b"colours")
    (folder / "a.tiff").write_bytes(depth)
    if depth_range:
        (folder / "a.yaml").write_bytes(depth_range)
    sample = Sample(str(folder / "a.png"), "", "test", 0, "good", None)
    return RgbdSample(sample, str(folder / "a.tiff"), str(folder / "a.yaml") if depth_range else None)


def test_a_picture_with_depth_is_sent_in_parts_that_bear_the_names_of_its_files_alone(connect, tmp_path):
    seen = []
    client = connect(lambda request: seen.append(request) or answer())
    for sample in (rgbd(tmp_path), rgbd(tmp_path, depth_range=b"limits")):
        (scored,) = client.score_files([sample], category="nut")
        assert scored.score == 1.25
    assert dict(seen[0].url.params) == {"heatmap": "none", "category": "nut"}
    points = [("image", "a.png", b"colours"), ("depth", "a.tiff", b"points")]
    assert parts_of(seen[0]) == points
    assert parts_of(seen[1]) == [*points, ("depth_range", "a.yaml", b"limits")]


def test_a_picture_with_depth_is_sent_again_whole(connect, tmp_path):
    answers, seen = iter([problem(503, "busy"), answer()]), []
    client = connect(lambda request: seen.append(parts_of(request)) or next(answers))
    assert len(list(client.score_files([rgbd(tmp_path)]))) == 1
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2


def test_depth_that_cannot_be_sent_or_is_not_taken_is_an_answer(connect, tmp_path, monkeypatch):
    monkeypatch.setitem(MODEL, "limits", {"max_request_mb": 0.5})
    asked = []
    client = connect(lambda request: asked.append(request) or problem(400, "a.tiff: has no valid point; send another"))
    sample = rgbd(tmp_path)
    (refused,) = client.score_files([sample])
    assert refused.args == (sample.sample.path, "a.tiff: has no valid point; send another")
    (large,) = client.score_files([rgbd(tmp_path, depth=bytes(2**20))])
    assert str(large) == (
        f"{sample.depth}: has 1 MB, the service takes 0.5 MB beside its picture at most; make it smaller"
    )
    (tmp_path / "a.tiff").unlink()
    (gone,) = client.score_files([sample])
    assert str(gone) == f"{sample.depth}: cannot be read (No such file or directory); replace or delete it"
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("said", "needs_depth"),
    [({}, False), ({"modalities": ["color"]}, False), ({"modalities": ["color", "depth"]}, True)],
)
def test_a_model_says_whether_it_looks_at_depth_and_an_older_service_has_none_that_does(said, needs_depth):
    answers = httpx.MockTransport(lambda _: httpx.Response(200, json=MODEL | said))
    with ServiceClient(ADDRESS, transport=answers) as client:
        assert client.model().needs_depth == needs_depth


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (problem(401, "no"), "wants an API key; give the right one in --api-key-file"),
        (problem(404, "no class 'bolt'"), r"answers 404 \(no class 'bolt'\)"),
        (problem(422, "two\nlines"), r"answers 422 \(two lines\)"),
        (httpx.Response(500, text="<html>"), r"answers 500 \(Internal Server Error\)"),
        (httpx.Response(302, headers={"Location": "http://elsewhere"}), r"answers 302 \(Found\)"),
        (httpx.Response(200, text="<html>"), "no answer of an EagleRay service"),
        (httpx.Response(200, json={"model_version": 3, "items": []}), "no answer of an EagleRay service"),
        (answer(verdict="fine"), "no answer of an EagleRay service"),
        (answer(score=None), "no answer of an EagleRay service"),
    ],
)
def test_another_refusal_or_nonsense_is_an_error_at_once(connect, response, told):
    tries = itertools.count()
    client = connect(lambda _: (next(tries) and pytest.fail("asked again")) or response)
    with pytest.raises(ServiceError, match=told) as raised:
        client.score(b"", name="a.png")
    assert str(raised.value).startswith(f"service at {ADDRESS}: ")


def test_a_heat_map_that_does_not_come_is_nonsense(connect):
    with pytest.raises(ServiceError, match="no answer of an EagleRay service"):
        connect(lambda _: answer()).score(b"", name="a.png", heatmap=True)


def test_an_error_in_the_midst_comes_after_the_answers_before_it_and_ends_the_rest(connect, files):
    sent = []

    def score(request):
        sent.append(int(request.content))
        return problem(401, "no") if request.content == b"5" else echo(request)

    found = connect(score).score_files(files, concurrency=1)
    assert [next(found).score for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ServiceError, match="API key"):
        next(found)
    assert max(sent) < 10


def test_an_unknown_category_is_known_before_a_picture_is_sent(connect, files):
    client = connect(lambda _: pytest.fail("a picture was sent"))
    with pytest.raises(UnknownClass, match="no class 'bolt' in version 3 at http://line-3:8000; it has: nut"):
        next(client.score_files(files, category="bolt"))


def test_the_key_is_sent_and_never_shown(connect):
    seen = []
    client = connect(lambda request: seen.append(request.headers) or problem(401, "no"), api_key="s3cr3t")
    with pytest.raises(ServiceError, match="refuses the API key") as raised:
        client.score(b"", name="a.png")
    assert seen[0]["Authorization"] == "Bearer s3cr3t"
    assert "s3cr3t" not in f"{raised.value!r} {vars(client)}"


@pytest.mark.parametrize("key", ["", "two words", "two\nlines", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key):
    with pytest.raises(ConfigError, match="the API key must be one word") as raised:
        ServiceClient(ADDRESS, api_key=key)
    assert not key or key not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://line-3:8000", "http://line-3:8000"),
        ("line-3:8000/", "http://line-3:8000"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("https://host/eagleray/", "https://host/eagleray"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_addresses_are_taken_as_people_write_them(given, used):
    seen = []
    transport = httpx.MockTransport(lambda request: seen.append(str(request.url)) or httpx.Response(200, json=MODEL))
    with ServiceClient(given, transport=transport) as client:
        assert client.address == used
        assert client.model().categories == ("nut",)
    assert seen == [f"{used}/v1/model"]


@pytest.mark.parametrize("address", ["ftp://a", "http://", "", "a:b", "http://a?b=c", "http://a:99999", "http://a b"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match="--address"):
        ServiceClient(address)


def test_an_address_with_a_password_is_refused_and_not_shown():
    with pytest.raises(ConfigError, match="--address") as raised:
        ServiceClient("http://me:s3cr3t@host")
    assert "s3cr3t" not in str(raised.value)


@pytest.fixture
def no_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://me:s3cr3t@127.0.0.1:1"),
        ("all_proxy", "socks://me:s3cr3t@127.0.0.1:1"),
        ("HTTP_PROXY", "http://me:s3cr3t"),
        ("no_proxy", "a:b:s3cr3t"),
    ],
)
def test_a_proxy_of_the_environment_that_cannot_be_used_is_told_in_a_line_without_its_password(
    name, value, monkeypatch
):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"{name.upper()}.* of the environment must be unset, or http://") as raised:
        ServiceClient(ADDRESS)
    assert "s3cr3t" not in str(raised.value)


@pytest.mark.usefixtures("no_proxies")
def test_certificates_of_the_environment_that_are_gone_are_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    told = r"SSL_CERT_FILE.* of the environment must be unset, .*No such file or directory"
    with pytest.raises(ConfigError, match=told):
        ServiceClient(ADDRESS)


def test_nobody_at_the_address_is_told_in_a_line():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = rf"service at http://127.0.0.1:{port}: cannot be reached \(Connection refused\) in 3 attempts; start it"
    with ServiceClient(f"127.0.0.1:{port}", retries=2) as client, pytest.raises(ServiceError, match=told):
        client.model()


def test_a_service_that_restarts_has_more_time_than_an_address_where_nobody_ever_answered(connect):
    tries, restarts = itertools.count(), range(1, 8)

    def score(request):
        if next(tries) in restarts:
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        return answer()

    client = connect(score)
    assert [client.score(b"", name="a.png").score for _ in range(2)] == 2 * [1.25]
    restarts = range(1000)
    with pytest.raises(ServiceError, match="in 4 attempts"):
        connect(score).score(b"", name="a.png")


def test_a_service_that_stays_silent_is_told_in_a_line():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "{}:{}".format(*silent.getsockname())
        told = r"gives no answer within 0\.1 s in 2 attempts"
        with ServiceClient(address, retries=1, timeout_s=0.1) as client, pytest.raises(ServiceError, match=told):
            client.model()


def test_waiting_ends_when_the_client_is_closed(connect):
    waiting = threading.Event()
    client = connect(lambda _: waiting.set() or problem(503, "busy", **{"Retry-After": "50"}))
    raised = []

    def score():
        try:
            client.score(b"", name="a.png")
        except ServiceError as error:
            raised.append(str(error))

    thread = threading.Thread(target=score)
    thread.start()
    assert waiting.wait(30)
    client.close()
    thread.join(30)
    assert "closed" in raised[0]


def test_waiting_for_a_version_ends_with_it(monkeypatch):
    monkeypatch.setattr(client_module, "_POLL_S", 0.0)
    versions = iter([3, 3, 4])
    answers = httpx.MockTransport(lambda _: httpx.Response(200, json=MODEL | {"model_version": next(versions)}))
    with ServiceClient(ADDRESS, transport=answers) as client:
        client.wait_for_version(4)
    assert next(versions, None) is None


def test_a_version_that_does_not_come_is_an_error():
    answers = httpx.MockTransport(lambda _: httpx.Response(200, text=json.dumps(MODEL)))
    told = r"still answers with version 3 after 0\.2 s, not with 4"
    with ServiceClient(ADDRESS, transport=answers) as client, pytest.raises(ServiceError, match=told):
        client.wait_for_version(4, timeout_s=0.2)
