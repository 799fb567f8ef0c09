"""The number of threads that libraries compute on: what a block asks for, and what was before afterwards."""

import subprocess
import sys

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from eagleray.threads import limit_blas, limit_threads


@pytest.fixture(autouse=True)
def three_threads():
    with threadpool_limits(3):
        yield


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_blas_and_torch_are_limited_as_long_as_the_block_lasts():
    with limit_threads(1):
        assert blas_threads() == {torch.get_num_threads()} == {1}
        with limit_threads(2):
            assert blas_threads() == {torch.get_num_threads()} == {2}
        assert blas_threads() == {torch.get_num_threads()} == {1}
    assert blas_threads() == {torch.get_num_threads()} == {3}


def test_blas_is_limited_without_torch():
    with limit_blas(1):
        assert blas_threads() == {1}
        assert torch.get_num_threads() == 3
    assert blas_threads() == {3}


def test_a_library_that_is_loaded_later_is_limited_too():
    program = """
import numpy
from threadpoolctl import threadpool_info, threadpool_limits
from eagleray.threads import limit_blas

with limit_blas(1):
    before = len(threadpool_info())
import scipy.linalg
threadpool_limits(3)
with limit_blas(1):
    print(len(threadpool_info()) > before, {library["num_threads"] for library in threadpool_info()})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True {1}\n"
