# The environment without GPUs, for Ray's head, for machines that read and count text, and for the
# Prefect server: what constraints.txt pins, and no code. The code is the checkout that is mounted at
# /srv/polylm, so a new commit needs no new image. From the root of the checkout:
#
#   docker build --file infra/docker/cpu.Dockerfile --tag polylm:0.1.0-cpu .
#
# torch's usual wheel brings CUDA libraries. An index with its CPU build, and credentials of an index,
# go into a pip.conf that no layer keeps: --secret id=pip,src=$HOME/.config/pip/pip.conf
#
# The base is named by its tag, which its owner may move. To pin it, ask the registry for its digest,
#   docker buildx imagetools inspect python:3.12.12-slim-bookworm
# and build with --build-arg DIGEST=@sha256:...
#
# Packages are held to their hashes where the build finds a requirements.lock, made with the Python of
# the image (3.12) by `make lock EXTRAS=aws,segmenters`; without one, to the versions of
# constraints.txt only.
ARG DIGEST=
FROM python:3.12.12-slim-bookworm${DIGEST} AS build
# Debian's mirrors keep no older versions: pinned here are the release and the image it is in.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/polylm
WORKDIR /srv/polylm
COPY pyproject.toml constraints.txt requirements.loc[k] README.md LICENSE NOTICE ./
COPY polylm_core polylm_core
COPY flows flows
COPY infra infra
# With the setuptools of the lock, and before the rest: with it those that come as source are built.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    set -eu; install() { /opt/polylm/bin/pip install --no-cache-dir "$@"; }; \
    if [ -f requirements.lock ]; then \
    grep -A 1 '^setuptools==' requirements.lock > /tmp/build.lock; \
    install --require-hashes --no-deps --requirement /tmp/build.lock; \
    install --require-hashes --no-deps --no-build-isolation --requirement requirements.lock; \
    install --no-deps --no-build-isolation --editable .; \
    else \
    install --constraint constraints.txt --editable '.[aws,segmenters]'; \
    fi

FROM python:3.12.12-slim-bookworm${DIGEST}
# git for DVC; a compiler for DeepSpeed and torch.compile; ssh and rsync, by which Ray's autoscaler
# brings machines into a cluster; wget for EC2's notices. The user has the number of EC2's `ubuntu`, to
# whom the files belong that Ray's launcher hands in.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
    ca-certificates g++ gcc git libc6-dev make openssh-client rsync wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home --shell /bin/bash polylm \
    && install --directory --owner polylm /srv/polylm \
    && echo "export PATH=/opt/polylm/bin:\$PATH" > /etc/profile.d/polylm.sh
COPY --from=build /opt/polylm /opt/polylm
ENV PATH=/opt/polylm/bin:$PATH \
    DO_NOT_TRACK=1 \
    DVC_NO_ANALYTICS=true \
    RAY_USAGE_STATS_ENABLED=0 \
    RAY_AUTH_MODE=token
USER 1000
WORKDIR /srv/polylm
CMD ["polylm", "--help"]
