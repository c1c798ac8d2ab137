# The environment of requirements.lock with the project in it, for a user without rights. docs/scaling.md says how to run it.
#   docker build --tag panodiff .
#   docker run --rm --init panodiff
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home panodiff \
    && install --directory --owner=panodiff --group=panodiff /panodiff

WORKDIR /panodiff

# Before the code, so that an edit of the code does not install everything anew.
COPY requirements.lock ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock

# With .git: every record of a run names the commit. A clone that is mounted over this folder takes its place.
COPY --chown=panodiff:panodiff . .
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --editable .

USER panodiff
CMD ["sh", "-c", "panodiff doctor --brief && dvc repro && panodiff summary"]
