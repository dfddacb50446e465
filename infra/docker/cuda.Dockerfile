# The environment for NVIDIA GPUs. As cpu.Dockerfile, but for three things: CUDA's own base image,
# whose driver interface fits the CUDA 13.0 that torch's wheel brings; the extra `gpu`; and Ubuntu's
# Python 3.12 with its headers, for which Triton compiles. Ray wants the same Python, to the minor
# version, on all machines: 3.12 in both images.
#
#   docker build --file infra/docker/cuda.Dockerfile --tag polylm:0.1.0-cuda .
#
# The base is named by its tag, which its owner may move. To pin it, ask the registry for its digest,
#   docker buildx imagetools inspect nvidia/cuda:13.0.2-base-ubuntu24.04
# and build with --build-arg DIGEST=@sha256:...
#
# Packages are held to their hashes where the build finds a requirements.lock, made with the Python of
# the image (3.12) by `make lock EXTRAS=aws,gpu,segmenters`; without one, to the versions of
# constraints.txt only.
ARG DIGEST=
FROM nvidia/cuda:13.0.2-base-ubuntu24.04${DIGEST} AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
    gcc g++ libc6-dev python3.12 python3.12-dev python3.12-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3.12 -m venv /opt/polylm
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
    install --constraint constraints.txt --editable '.[aws,gpu,segmenters]'; \
    fi

FROM nvidia/cuda:13.0.2-base-ubuntu24.04${DIGEST}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
    ca-certificates g++ gcc git libc6-dev make openssh-client python3.12 python3.12-dev \
    rsync wget \
    && rm -rf /var/lib/apt/lists/* \
    && userdel --remove ubuntu \
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
