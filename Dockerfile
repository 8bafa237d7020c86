# One image for every node of a Ray cluster, and for the pod that submits (deploy/README.md).
#
#   docker build --tag bucketsight:cuda .
#   docker build --tag bucketsight:cpu --build-arg TORCH=cpu --build-arg PIP_FIND_LINKS=… .
#
# 9 GB with PyTorch's CUDA packages, 3 GB without. A CPU-only PyTorch is where PIP_FIND_LINKS leads: a
# page or folder of its wheels (README.md, "Two commands"). The one model inside is `pocket`, which is
# part of the code; others are folders that nodes mount.

# The CPU-only lock is for Python 3.11.
FROM python:3.11-slim

# bash, for KubeRay's start command, is there; wget for its health probes.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make wget \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 bucketsight

WORKDIR /opt/bucketsight
COPY Makefile requirements.lock requirements-cpu.lock requirements-cuda.lock ./

# PIP_FIND_LINKS, if given, is in pip's environment here. An image of the other kind is refused.
ARG TORCH=cuda
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1
RUN make install \
    && .venv/bin/python -c 'import sys, torch; has = "cuda" if torch.version.cuda else "cpu"; \
sys.exit(None if has == sys.argv[1] else f"TORCH={sys.argv[1]} was asked for, {has} was found")' "$TORCH"

COPY LICENSE NOTICE ./
COPY schemas schemas
COPY workers workers
COPY jobs jobs
COPY deploy/submit.py deploy/submit.py

ENV PATH=/opt/bucketsight/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 1000
CMD ["python", "jobs/nightly.py", "--help"]
