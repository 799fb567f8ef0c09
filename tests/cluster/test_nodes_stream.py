"""The stream job on three nodes, of which one dies: nothing is lost, and its results are those of one machine."""

import pytest


@pytest.mark.chaos
def test_a_stream_job_that_loses_a_node_ends_with_the_results_of_one_that_did_not(
    nodes, folder, undisturbed, eventually
):
    job = folder.start("--address", nodes.address, "--pool.embed-workers", "3")
    eventually(lambda: folder.judged(1) or job.poll() is not None, within_s=300)
    assert job.poll() is None, job.communicate()
    assert nodes.actors("EmbedWorker") == {1: 1, 2: 1, 3: 1}  # all nodes work, and there is no room for a fourth
    nodes.kill(nodes.busiest("EmbedWorker", "ExpertWorker", "BankStore"))
    assert not (folder.out / "results.json").exists()
    _, errors = job.communicate(timeout=300)
    assert job.returncode == 0, errors
    assert folder.results() == undisturbed.results()
    assert folder.model() == undisturbed.model()
    assert (folder.out / "scores.parquet").read_bytes() == (undisturbed.out / "scores.parquet").read_bytes()
