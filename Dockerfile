# The worker alone; compose.yaml gives it a broker. Two stages: what builds stays out of what runs.
FROM python:3.12-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/payment-worker
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY schemas schemas
COPY worker worker
COPY routing_rules routing_rules
RUN /opt/payment-worker/bin/pip install --constraint constraints.txt ".[postgresql]"

FROM python:3.12-slim-bookworm

RUN groupadd --system --gid 10001 payments \
    && useradd --system --uid 10001 --gid payments --home-dir /nonexistent --no-create-home payments
COPY --from=build /opt/payment-worker /opt/payment-worker
COPY routing_rules /etc/payment-worker/routing_rules
ENV PATH=/opt/payment-worker/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["payment-worker"]
CMD ["run", "--rules", "/etc/payment-worker/routing_rules"]
