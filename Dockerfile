# Two images from one build: `--target sidecar` and `--target collector`.
#
#   docker build --target sidecar   -t outrider:0.1.0 .
#   docker build --target collector -t outrider-collector:0.1.0 .
#
# BASE is any image with Python 3.11 or later and its venv module, on glibc. Name it by digest to build the same again:
#   --build-arg BASE=python:3.13-slim@sha256:…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY wire wire
COPY rules rules
COPY sidecar sidecar
COPY collectors collectors
COPY cdk cdk
COPY lab lab
COPY cli cli
RUN python3 -m pip wheel --no-deps --wheel-dir /wheels .
# An environment without pip, at the path it will be used at. Wheels alone: there is no compiler, and none is wanted.
RUN python3 -m venv --without-pip /opt/outrider
RUN python3 -m pip --python /opt/outrider/bin/python install --only-binary :all: /wheels/outrider-*.whl

FROM build AS build-sidecar
# The image holds what it runs: no lab with its attacks, no collector.
RUN cd /opt/outrider/lib/python3*/site-packages && rm -r outrider_lab outrider_collector

FROM build AS build-collector
RUN python3 -m pip --python /opt/outrider/bin/python install --only-binary :all: \
        "$(ls /wheels/outrider-*.whl)[collector]"
RUN cd /opt/outrider/lib/python3*/site-packages && rm -r outrider_lab

FROM ${BASE} AS runtime
# The base's own pip is not needed any more, and a guarded task should hold nothing that installs programs.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
        /usr/lib/python3/dist-packages/pip* /usr/lib/python3*/ensurepip /usr/bin/pip*
ENV PATH=/opt/outrider/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1
WORKDIR /

FROM runtime AS sidecar
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="outrider" \
      org.opencontainers.image.description="The sidecar: guards the container task it rides in" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-sidecar /opt/outrider /opt/outrider
# The journal and the resume key: to be a volume of this container alone, never shared with a guarded one.
RUN mkdir -m 0700 /outrider
VOLUME /outrider
# Root, because ECS and Docker make an added capability (SYS_PTRACE) effective for uid 0 only: a process of another uid
# would have it in its bounding set and could not use it. The capabilities themselves are the task definition's to give.
USER 0:0
STOPSIGNAL SIGTERM
# ECS reads the task definition's healthCheck and not this one; the command is the same. Nothing listens.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["outrider", "health"]
CMD ["python", "-m", "outrider_sidecar"]

FROM runtime AS collector
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="outrider-collector" \
      org.opencontainers.image.description="The collector: takes signed batches and keeps findings" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-collector /opt/outrider /opt/outrider
RUN mkdir -m 0700 /data && chown 10001:10001 /data
VOLUME /data
USER 10001:10001
ENV OUTRIDER_COLLECTOR_DATA=/data OUTRIDER_COLLECTOR_LISTEN=0.0.0.0:8440
EXPOSE 8440
STOPSIGNAL SIGTERM
# Health is GET /healthz, for the load balancer to ask: TLS may or may not be on.
CMD ["python", "-m", "outrider_collector"]
