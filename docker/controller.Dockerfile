# The controller of a Kubernetes cluster, for any node; it needs neither a GPU nor TensorRT. Build it
# from the top of the project:
#
#   docker build -f docker/controller.Dockerfile -t orin-tuner-controller .
#
# Nobody has built this file yet.
FROM python:3.11-slim-bookworm

WORKDIR /opt/orin-tuner
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY envs ./envs
COPY tuner ./tuner
COPY cluster ./cluster
COPY conf ./conf
COPY checkpoints ./checkpoints
RUN pip install --no-cache-dir -e ".[kubernetes]" -c constraints.txt \
 && useradd --uid 1000 --create-home orin-tuner

USER 1000
ENTRYPOINT ["python", "-m", "cluster.controller"]
