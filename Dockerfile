# syntax=docker/dockerfile:1
# The image of jobs/rayjob.yaml and serve/rayservice.yaml:
#   docker build -t eagleray:0.1.0 .
#   docker build -t eagleray:0.1.0-gpu --build-arg EXTRA=gpu .      for machines with NVIDIA's container toolkit
# Everything is installed in /usr/local, so that `ray` is found whatever shell an operator calls it by.
FROM python:3.11-slim

ARG EXTRA=cpu

# What operators of KubeRay before 1.6 ask a container with whether it is well.
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 eagleray && install --directory --owner=eagleray /eagleray
WORKDIR /eagleray

COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY platform platform
RUN pip install --no-cache-dir --root-user-action=ignore --constraint constraints.txt ".[${EXTRA}]"

COPY jobs jobs
COPY serve serve

# serve.app is imported from here by every process of Ray.
ENV PYTHONPATH=/eagleray
USER 1000
CMD ["python", "jobs/mecad_stream.py"]
