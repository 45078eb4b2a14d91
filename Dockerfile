# Any Debian-like image with python3 (3.11 or newer) and its venv module will do.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# A virtual environment, because Debian's own python3 takes no packages (PEP 668).
RUN python3 -m venv /opt/sidekey
COPY pyproject.toml README.md LICENSE ./
COPY proxy ./proxy
# The installers have nothing left to do in an image that nobody can write to.
RUN /opt/sidekey/bin/pip install --quiet --no-cache-dir '.[redis]' \
    && /opt/sidekey/bin/pip uninstall --quiet --yes setuptools pip

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 sidekey \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home \
        --shell /usr/sbin/nologin sidekey \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data \
    && install --directory /etc/sidekey
COPY --from=build /opt/sidekey /opt/sidekey
# A container's own loopback is out of reach for its neighbours and for published ports, so the
# configuration has to name clients and allowed_peers: see docker-compose.yml.
ENV PATH=/opt/sidekey/bin:$PATH \
    SIDEKEY_HOST=0.0.0.0 \
    SIDEKEY_PORT=8080 \
    XDG_STATE_HOME=/data
USER 10001:10001
# The configuration is mounted at /etc/sidekey/config.yaml; tokens and their key live in /data.
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["sidekey", "health"]
ENTRYPOINT ["sidekey"]
CMD ["run"]
