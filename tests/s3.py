"""A real S3 server on this machine, for tests: what it was asked, and a request held while something is killed."""

import os
import subprocess
import sys
from pathlib import Path

import boto3

SERVER = Path(__file__).with_name("s3_server.py")
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class S3:
    """See `tests/s3_server.py`; a context manager that ends the server.

    `environment` is what a process needs to reach it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), str(folder)], stdout=subprocess.PIPE, env={**os.environ, **KEYS}, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.environment = {
            **KEYS,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def __enter__(self) -> "S3":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def uploads(self, bucket: str) -> list[str]:
        """Objects of which parts were uploaded that nobody put together."""
        found = self.client.list_multipart_uploads(Bucket=bucket)
        return [one["Key"] for one in found.get("Uploads", ())]

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Every object that a reader sees, by its name below the prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        names = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {
            name.removeprefix(prefix): self.client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names
        }

    def requests(self) -> list[str]:
        """Everything that was asked so far."""
        return self._log("requests")

    @property
    def idle(self) -> bool:
        """Whether all of it was answered."""
        return len(self._log("answered")) == len(self._log("requests"))

    def hold(self, pattern: str) -> None:
        """Keep the next request that matches from being answered."""
        partial = self._folder / "hold.new"
        partial.write_text(pattern)
        partial.rename(self._folder / "hold")

    def refuse(self, pattern: str) -> None:
        """Deny every request that matches from now on; none again, where the pattern is empty."""
        partial = self._folder / "refuse.new"
        partial.write_text(pattern or "(?!)")
        partial.rename(self._folder / "refuse")

    @property
    def held(self) -> bool:
        """Whether one is kept."""
        return (self._folder / "held").exists()

    def _log(self, name: str) -> list[str]:
        try:
            return (self._folder / name).read_text().splitlines()
        except FileNotFoundError:
            return []

    def release(self) -> None:
        """Let it go on."""
        (self._folder / "held").unlink()
