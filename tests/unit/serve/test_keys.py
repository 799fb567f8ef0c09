import logging

import pytest
from starlette.datastructures import Headers

from eagleray.errors import ConfigError
from serve.keys import VARIABLE, Keys
from serve.problems import Problem
from tests.unit.serve.conftest import Site, problem

KEY, OTHER = "correct-horse-battery", "staple-staple-staple"
GUARDED = [("POST", "/v1/score"), ("GET", "/v1/model"), ("GET", "/v1/stats")]
OPEN = ["/", "/docs", "/openapi.json", "/static/index.html", "/v1/health/live", "/v1/health/ready"]


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"# line one\n{KEY}\n\n  {OTHER}  \n  # a comment\n")
    return path


@pytest.fixture(scope="module")
def locked(tiny_model, key_file):
    return Site(tiny_model.store, keys=Keys.read(str(key_file)))


@pytest.mark.parametrize(
    "header", [("Authorization", "Bearer {}"), ("authorization", "bearer   {} "), ("X-API-Key", "{}")]
)
@pytest.mark.parametrize("key", [KEY, OTHER])
def test_a_right_key_opens_the_service_in_either_header(locked, dots, header, key):
    headers = {header[0]: header[1].format(key)}
    assert locked.post(dots, headers=headers).status_code == 200
    assert locked.get("/v1/model", headers=headers).status_code == 200
    assert locked.get("/v1/stats", headers=headers).status_code == 200


WRONG = {
    "none": {},
    "wrong": {"Authorization": f"Bearer {KEY}x"},
    "wrong X-API-Key": {"X-API-Key": KEY[:-1]},
    "empty": {"Authorization": "Bearer "},
    "empty X-API-Key": {"X-API-Key": ""},
    "a comment of the file": {"X-API-Key": "# line one"},
    "another scheme": {"Authorization": f"Basic {KEY}"},
    "no scheme": {"Authorization": KEY},
    "bytes that are no text": {"X-API-Key": b"\xff\xfe\x80" * 10},
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_right_key_nothing_is_told(locked, name, method, path, caplog):
    caplog.set_level(logging.DEBUG)
    response = locked.request(method, path, headers=WRONG[name])
    problem(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"
    for key in (KEY, OTHER):
        assert key not in response.text + caplog.text


def test_a_missing_key_comes_before_every_other_mistake_and_before_the_body(locked):
    problem(locked.post(b"x", "/v1/score?heatmap=jpeg", headers={"content-type": "text/plain"}), 401)

    async def never():
        raise AssertionError("the body was read")
        yield b""

    problem(locked.post(never()), 401)


@pytest.mark.parametrize("path", OPEN)
def test_page_documentation_and_health_need_no_key(locked, path):
    assert locked.get(path).status_code == 200


def test_without_keys_all_is_open(site):
    assert site.get("/v1/model", headers={"X-API-Key": "whatever"}).status_code == 200


def test_keys_come_from_the_environment_separated_by_commas(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{KEY}, {OTHER},")
    keys = Keys.read("env")
    for key in (KEY, OTHER):
        keys.check(Headers({"X-API-Key": key}))
    with pytest.raises(Problem):
        keys.check(Headers({"X-API-Key": f"{KEY}, {OTHER}"}))


def test_a_key_beyond_ascii_works_as_its_utf8_bytes(tmp_path):
    (tmp_path / "keys").write_bytes("\ufeffschlüssel-über-alles\n".encode())
    sent = Headers(raw=[(b"x-api-key", "schlüssel-über-alles".encode())])
    Keys.read(str(tmp_path / "keys")).check(sent)


SOURCES = {
    "a short key": (b"tiny-secret\n" + KEY.encode(), "shorter"),
    "no key": (b"# nothing\n\n", "none in"),
    "no text": (b"\xff\xfe\x80", "readable file"),
    "nothing": (None, "readable file"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_wrong_place_of_keys_is_named_in_one_line_and_no_key_with_it(tmp_path, name):
    content, words = SOURCES[name]
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="api_keys") as caught:
        Keys.read(str(path))
    text = str(caught.value)
    assert words in text
    assert len(text.splitlines()) == 1
    assert "secret" not in text
    assert KEY not in text


@pytest.mark.parametrize("value", [None, "", " , ,", "short"])
def test_an_environment_without_a_good_key_is_refused(monkeypatch, value):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ConfigError, match=VARIABLE):
        Keys.read("env")


def test_keys_are_not_to_be_seen_in_what_holds_them(key_file):
    keys = Keys.read(str(key_file))
    assert KEY not in repr(keys) + repr(vars(keys))


def test_the_documentation_asks_for_a_key_only_where_one_is_needed(locked, site):
    schemes = [place.get("/openapi.json").json()["components"].get("securitySchemes") for place in (locked, site)]
    assert schemes == [{"HTTPBearer": {"type": "http", "scheme": "bearer"}}, None]
