"""Guards for the folder called platform/ and for the promise that algorithms import no ray."""

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_platform_is_the_standard_librarys():
    assert Path(platform.__file__).is_relative_to(sysconfig.get_path("stdlib"))
    assert platform.system()


def test_the_source_root_is_not_a_package():
    assert not (ROOT / "platform" / "__init__.py").exists()


@pytest.mark.parametrize("folder", [".", "jobs", "serve", "platform", "benchmarks"])
def test_no_file_shadows_a_standard_library_module(folder):
    names = {path.stem for path in (ROOT / folder).glob("*.py")}
    assert not names & sys.stdlib_module_names


ALGORITHMS = ["adaptation", "adapted_moe", "banks", "continual", "data", "experts", "features", "metrics", "mixture"]
ALGORITHMS += ["adnas", "fusion", "reports", "routing", "storage", "trials"]


@pytest.mark.parametrize("package", ALGORITHMS)
def test_algorithms_leave_ray_alone(package):
    code = f"import sys, eagleray.{package}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("package", ["banks", "reports", "metrics", "storage", "data"])
def test_workers_and_reports_start_without_torch(package):
    code = f"import sys, eagleray.{package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
