#!/usr/bin/env bash
# Install Debian's Chromium, and a font, unless there is one. Without the right to, say what to install; if Debian's
# archive fails, say that: the tests are then skipped by name.
set -euo pipefail

for program in "${STERNPOST_TEST_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
  if [ -n "$program" ] && command -v "$program" >/dev/null; then
    exit 0
  fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq || true
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends chromium fonts-dejavu-core >/dev/null ||
    echo "not installed: chromium (apt-get install failed)" >&2
else
  echo "The console's tests need Chromium: install your system's package, or name one in STERNPOST_TEST_CHROMIUM." >&2
  exit 1
fi
