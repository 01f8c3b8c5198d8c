# For evaluators who want a container: an interpreter, make and TeX, and then the same set-up as everywhere else.
#   docker build -t scpo .
#   docker run --rm -it scpo make figures
# TORCH_INDEX may name PyTorch's index of CPU wheels, which saves gigabytes: --build-arg TORCH_INDEX=<that index>
FROM python:3.11-slim-bookworm
ARG TORCH_INDEX=
RUN apt-get update && apt-get install --yes --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
WORKDIR /scpo
COPY . .
RUN make setup TORCH_INDEX="$TORCH_INDEX"
CMD ["make", "help"]
