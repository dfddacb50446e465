# The environment for NVIDIA GPUs. As cpu.Dockerfile, but for three things: CUDA's own base image,
# whose driver interface fits the CUDA 13.0 that torch's wheel brings; the extra `gpu`; and Ubuntu's
# Python 3.12 with its headers, for which Triton compiles. Ray wants the same Python, to the minor
# version, on all machines: 3.12 in both images.
#
#   docker build --file infra/docker/cuda.Dockerfile --tag polylm:0.1.0-cuda .
FROM nvidia/cuda:13.0.2-base-ubuntu24.04 AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
    gcc g++ libc6-dev python3.12 python3.12-dev python3.12-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3.12 -m venv /opt/polylm
WORKDIR /srv/polylm
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY polylm_core polylm_core
COPY flows flows
COPY infra infra
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/polylm/bin/pip install --no-cache-dir --constraint constraints.txt \
    --editable '.[aws,gpu,segmenters]'

FROM nvidia/cuda:13.0.2-base-ubuntu24.04
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
