import json

import pytest

from serve.problems import Problem, document, unavailable


def test_a_document_has_the_members_of_rfc_9457_and_no_empty_ones():
    assert document(404, "not here", request_id=None) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "not here",
    }
    errors = [{"name": "a", "detail": "b"}]
    found = document(400, "x", request_id="r", errors=errors)
    assert (found["request_id"], found["errors"]) == ("r", errors)


@pytest.mark.parametrize("letter", ["\n", "\r", "\0", "\x1b", "\x85", "\u2028", "\ud800"])
def test_a_detail_is_one_line_that_can_be_sent_whatever_it_quotes(letter):
    detail = document(404, f"nothing at /a{letter}b", request_id=None)["detail"]
    assert detail == "nothing at /a b"
    json.dumps(detail, ensure_ascii=False).encode()


def test_letters_of_any_language_stay():
    assert document(400, "Gerät-Ω-机器.png", request_id=None)["detail"] == "Gerät-Ω-机器.png"


def test_unavailable_says_when_to_come_again():
    problem = unavailable("busy")
    assert isinstance(problem, Problem)
    assert (problem.status, problem.headers) == (503, {"Retry-After": "1"})
