# kvwatch as a small image: non-root, happy with a read-only root, nothing in it but Python and kvwatch.
#
#   docker build -t kvwatch .
#   docker run --rm --read-only -p 9718:9718 kvwatch run --target http://vllm:8000
#
# BASE is any image whose `python3` is 3.11 or later and has the venv module. scripts/build_image.sh makes one from
# Debian's packages where no registry can be reached.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
RUN ["python3", "-m", "venv", "/build"]
COPY pyproject.toml constraints.txt README.md ./
COPY docs/runbooks docs/runbooks
COPY alerts/kvwatch.rules.yaml alerts/
COPY kvwatch kvwatch
# The environment that is shipped has no pip: an installer outside of it fills it. With the extras: which of them is
# needed is said by a configuration, and the image has to run any.
RUN python3 -m venv --without-pip /app \
    && /build/bin/python -m pip --python /app/bin/python install --no-cache-dir --no-compile \
        --constraint constraints.txt '.[grpc,kubernetes]'
# The libraries' own tests and sample data weigh more than kvwatch.
RUN find /app -type d -name tests -prune -exec rm -rf {} + \
    && find /app \( -name '*.pyi' -o -path '*/river/datasets/*' ! -name '*.py' -type f \) -delete
# A read-only root cannot keep bytecode, so what kvwatch imports, the standard library too, is compiled here. /state
# becomes the folder for estimates.state_file: a volume that is mounted there begins as its user's.
# -P: what is installed, not the sources in this folder.
ENV PYTHONPYCACHEPREFIX=/app/bytecode
RUN /app/bin/kvwatch --version \
    && /app/bin/python3 -P -c 'import kvwatch.cli.run, kvwatch.cli.demo, kvwatch.cli.record, kvwatch.cli.replay, kvwatch.cli.backtest, kvwatch.cli.simulate, kvwatch.shell.otlp.grpc, kubernetes_asyncio.client, kubernetes_asyncio.config' \
    && mkdir /state

# The last stage runs nothing, so that a base without a shell serves as well.
FROM ${BASE}
LABEL org.opencontainers.image.title="kvwatch" \
      org.opencontainers.image.description="Live capacity monitoring for vLLM" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app /app
COPY --from=build --chown=65532:65532 /state /var/lib/kvwatch
# The user has no entry in /etc/passwd, and so no home but this; the client for Kubernetes asks for one.
ENV HOME=/app \
    PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPYCACHEPREFIX=/app/bytecode \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1
USER 65532:65532
WORKDIR /app
EXPOSE 9718
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python3", "-S", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 9718, timeout=4); c.request('GET', '/-/healthy'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["kvwatch"]
CMD ["run"]
