# Two images from one build: `--target sidecar` and `--target collector`.
#
#   docker build --target sidecar   -t outrider:0.1.0 .
#   docker build --target collector -t outrider-collector:0.1.0 .
#   docker build --target sbom --output sbom .        # both bills of materials (CycloneDX) as files
#
# BASE is any Debian image with Python 3.11 or later and its venv module, of any architecture. Name it by digest to build
# the same again:
#   --build-arg BASE=python:3.13-slim@sha256:…
#
# The images themselves begin from nothing: an interpreter, our packages, and the libraries that both load
# (packaging/image/gather.py). docs/image.md says what is in them, and what is not.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
# An environment without pip, at the path it will be used at, and what ours needs in it: a layer that stays as it is while
# our own files change. Wheels alone: there is no compiler, and none is wanted.
RUN python3 -m venv --without-pip /opt/outrider
COPY pyproject.toml ./
COPY packaging/image packaging/image
RUN python3 packaging/image/requirements.py pyproject.toml >/requirements.txt && \
    python3 -m pip --python /opt/outrider/bin/python install --no-compile --only-binary :all: -r /requirements.txt

FROM build AS wheel
COPY README.md LICENSE ./
COPY wire wire
COPY rules rules
COPY sidecar sidecar
COPY collectors collectors
COPY cdk cdk
COPY lab lab
COPY cli cli
RUN python3 -m pip wheel --no-deps --wheel-dir /wheels .

FROM wheel AS gather-sidecar
ARG VERSION=0.1.0
RUN python3 -m pip --python /opt/outrider/bin/python install --no-compile --no-deps --no-index /wheels/outrider-*.whl
# The image holds what it runs: no lab with its attacks, no collector.
RUN cd /opt/outrider/lib/python3*/site-packages && rm -r outrider_lab outrider_collector
# The journal and the resume key: to be a volume of this container alone, never shared with a guarded one.
RUN python3 packaging/image/gather.py --environment /opt/outrider --into /rootfs --without sqlite3 \
        --name outrider --version "${VERSION}" --sbom /rootfs/usr/share/sbom/outrider.cdx.json && \
    mkdir -m 0700 /rootfs/outrider

FROM wheel AS gather-collector
ARG VERSION=0.1.0
RUN python3 -m pip --python /opt/outrider/bin/python install --no-compile --only-binary :all: \
        "$(ls /wheels/outrider-*.whl)[collector]"
RUN cd /opt/outrider/lib/python3*/site-packages && rm -r outrider_lab
RUN python3 packaging/image/gather.py --environment /opt/outrider --into /rootfs \
        --name outrider-collector --version "${VERSION}" --sbom /rootfs/usr/share/sbom/outrider-collector.cdx.json && \
    mkdir -m 0700 /rootfs/data && chown 10001:10001 /rootfs/data

FROM scratch AS sbom
COPY --from=gather-sidecar /rootfs/usr/share/sbom/ /
COPY --from=gather-collector /rootfs/usr/share/sbom/ /

FROM scratch AS sidecar
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="outrider" \
      org.opencontainers.image.description="The sidecar: guards the container task it rides in" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=gather-sidecar /rootfs/ /
ENV PATH=/opt/outrider/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /
VOLUME /outrider
# Root, because ECS and Docker make an added capability (SYS_PTRACE) effective for uid 0 only: a process of another uid
# would have it in its bounding set and could not use it. The capabilities themselves are the task definition's to give.
USER 0:0
STOPSIGNAL SIGTERM
# ECS reads the task definition's healthCheck and not this one; the command is the same. Nothing listens.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["outrider", "health"]
CMD ["python", "-m", "outrider_sidecar"]

FROM scratch AS collector
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="outrider-collector" \
      org.opencontainers.image.description="The collector: takes signed batches and keeps findings" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=gather-collector /rootfs/ /
ENV PATH=/opt/outrider/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    OUTRIDER_COLLECTOR_DATA=/data OUTRIDER_COLLECTOR_LISTEN=0.0.0.0:8440
WORKDIR /
VOLUME /data
USER 10001:10001
EXPOSE 8440
STOPSIGNAL SIGTERM
# Health is GET /healthz, for the load balancer to ask: TLS may or may not be on.
CMD ["python", "-m", "outrider_collector"]
