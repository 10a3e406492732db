# One image for bot, workers and scheduler: docker build -t mlflow-ops .
# A smaller one, without what bot and scheduler never import: docker build --target bot -t mlflow-ops-bot .
#
# It runs with a read-only root file system as a user without a name; only /tmp need be writable. pg_dump refuses a
# server that is newer than itself, so POSTGRES is the major version of the newest server, or a later one:
#   docker build --build-arg POSTGRES=17 .
# Going back to a moment (recovery.point_in_time) takes the server's own programs, of its very version, in the worker's image:
#   docker build --build-arg POSTGRES_SERVER=16 .
# What Python needs is locked with hashes in deploy/image/, the base by its digest (of all platforms; CONTRIBUTING.md says how
# to take a newer one). What Debian and PostgreSQL's own repository hold is signed, and moves on.
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS wheel
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /source
COPY deploy/image/build-requirements.txt deploy/image/
RUN python -m venv /opt/build && \
    /opt/build/bin/pip install --require-hashes --no-deps --only-binary :all: -r deploy/image/build-requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY commands commands
COPY workers workers
ARG REVISION=unknown
RUN echo "${REVISION:-unknown}" > bot/process/revision.txt && \
    /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /opt/build/wheels .

# What every process imports; a worker has more.
FROM ${PYTHON_IMAGE} AS environment
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /source
COPY deploy/image/bot-requirements.txt deploy/image/prune.py deploy/image/
RUN python -m venv /opt/mlflow-ops && \
    /opt/mlflow-ops/bin/pip install --require-hashes --no-deps --only-binary :all: -r deploy/image/bot-requirements.txt && \
    /opt/mlflow-ops/bin/pip check

FROM environment AS bot-environment
COPY --from=wheel /opt/build/wheels /opt/build/wheels
RUN /opt/mlflow-ops/bin/pip install --no-deps --no-index /opt/build/wheels/*.whl && \
    /opt/mlflow-ops/bin/pip uninstall -q -y pip setuptools && \
    /opt/mlflow-ops/bin/python deploy/image/prune.py /opt/mlflow-ops && \
    /opt/mlflow-ops/bin/python -m compileall -q /opt/mlflow-ops/lib

FROM environment AS worker-environment
COPY deploy/image/requirements.txt deploy/image/
RUN /opt/mlflow-ops/bin/pip install --require-hashes --no-deps --only-binary :all: -r deploy/image/requirements.txt
COPY --from=wheel /opt/build/wheels /opt/build/wheels
RUN /opt/mlflow-ops/bin/pip install --no-deps --no-index /opt/build/wheels/*.whl && \
    /opt/mlflow-ops/bin/pip check && \
    /opt/mlflow-ops/bin/pip uninstall -q -y pip setuptools && \
    /opt/mlflow-ops/bin/python deploy/image/prune.py /opt/mlflow-ops && \
    /opt/mlflow-ops/bin/python -m compileall -q /opt/mlflow-ops/lib

FROM ${PYTHON_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="mlflow-ops" \
      org.opencontainers.image.description="Operate MLflow on Kubernetes from Slack" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN pip uninstall -q -y --root-user-action ignore pip && \
    groupadd --gid 10001 mlflow-ops && \
    useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin mlflow-ops
ENV PATH=/opt/mlflow-ops/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MLFLOW_OPS_READY_FILE=/tmp/mlflow-ops-ready
WORKDIR /tmp
# The file is there once the process can serve, and goes when it ends.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["test", "-e", "/tmp/mlflow-ops-ready"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["mlflow-ops", "--log-format", "json"]
CMD ["--help"]

FROM runtime AS bot
COPY --from=bot-environment /opt/mlflow-ops /opt/mlflow-ops
USER 10001:10001

# A repository that cannot be reached is an error (apt.conf(5)): else what it had before, or nothing, would be taken.
# Debian's own package holds the key of PostgreSQL's repository, so nothing is trusted that Debian does not vouch for.
FROM ${PYTHON_IMAGE} AS postgres-key
# hadolint ignore=DL3008
RUN apt-get update -o APT::Update::Error-Mode=any && \
    apt-get install -y --no-install-recommends postgresql-common && \
    rm -rf /var/lib/apt/lists/*

FROM runtime AS worker
ARG POSTGRES=18
ARG POSTGRES_SERVER=
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
COPY --from=postgres-key /usr/share/postgresql-common/pgdg/apt.postgresql.org.asc /usr/share/keyrings/postgresql.asc
# hadolint ignore=DL3008
RUN . /etc/os-release && \
    echo "deb [signed-by=/usr/share/keyrings/postgresql.asc] https://apt.postgresql.org/pub/repos/apt ${VERSION_CODENAME}-pgdg main" \
      > /etc/apt/sources.list.d/postgresql.list && \
    apt-get update -o APT::Update::Error-Mode=any && \
    apt-get install -y --no-install-recommends "postgresql-client-${POSTGRES}" && \
    if [[ -n "${POSTGRES_SERVER}" ]]; then \
      mkdir -p /etc/postgresql-common && \
      echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf && \
      apt-get install -y --no-install-recommends "postgresql-${POSTGRES_SERVER}"; \
    fi && \
    rm -rf /var/lib/apt/lists/* && \
    ln -s "/usr/lib/postgresql/${POSTGRES}/bin" /opt/postgresql
COPY --from=worker-environment /opt/mlflow-ops /opt/mlflow-ops
ENV MLFLOW_OPS_POSTGRES_BIN=/opt/postgresql
USER 10001:10001
