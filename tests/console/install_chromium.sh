#!/usr/bin/env bash
# Install Debian's Chromium unless there is one; without the right to, say what to install.
set -euo pipefail

for program in "${STERNPOST_TEST_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
  if [ -n "$program" ] && command -v "$program" >/dev/null; then
    exit 0
  fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends chromium >/dev/null
else
  echo "The console's tests need Chromium: install your system's package, or name one in STERNPOST_TEST_CHROMIUM." >&2
  exit 1
fi
