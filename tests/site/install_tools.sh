#!/usr/bin/env bash
# Install actionlint into the folder given: PyPI's package of it downloads a program when it is built, Go's does not.
set -euo pipefail
bin=$(mkdir -p "$1" && cd "$1" && pwd)
[ -x "$bin/actionlint" ] && exit
if command -v go > /dev/null; then
  GOBIN=$bin go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 || echo "not installed: actionlint" >&2
else
  echo "not installed: actionlint (needs go)" >&2
fi
