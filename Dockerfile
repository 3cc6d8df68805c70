# docker build -t sft-advisor .
# docker build -t sft-advisor:cpu --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
FROM python:3.12-slim
ARG TORCH_INDEX=https://pypi.org/simple
# triton compiles its launchers when they are first used
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE ./
COPY advisor ./advisor
COPY rules ./rules
COPY trainers ./trainers
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" -c constraints.txt ".[train]"
# any user may write the hub's cache, and has a name and a home
RUN mkdir -m 777 /cache
ENV PYTHON=python HF_HOME=/cache HOME=/tmp USER=trainer
WORKDIR /job
