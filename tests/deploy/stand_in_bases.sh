#!/usr/bin/env bash
# Make the base images of deploy/Dockerfile from Debian's own packages, for machines that reach no image registry.
#
# The packages are those that the real images are made of: debian:trixie-slim with python3-venv already in it, and the
# list of distroless' python3-debian13 (https://github.com/GoogleContainerTools/distroless/blob/main/python3/config.bzl).
# What they do not stand in for is the registry's digest and signature. What the folder given has already is taken.
set -euo pipefail
folder=$1
mkdir -p "$folder"

[ -e "$folder/build.tar" ] || mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' \
  --include=ca-certificates,python3,python3-venv trixie "$folder/build.tar"

# Without maintainer scripts, as distroless does it: unpacked packages, and the files that their scripts would make.
[ -e "$folder/runtime.tar" ] || mmdebstrap --quiet --variant=extract \
  --include=base-files,netbase,tzdata,media-types,ca-certificates \
  --include=libc6,libssl3t64,libgcc-s1,libgomp1,libstdc++6 \
  --include=libbz2-1.0,libdb5.3t64,libexpat1,liblzma5,libsqlite3-0,libuuid1,libncursesw6,libtinfo6,zlib1g \
  --include=libcom-err2,libcrypt1,libgssapi-krb5-2,libk5crypto3,libkeyutils1,libkrb5-3,libkrb5support0,libnsl2 \
  --include=libreadline8t64,libtirpc3t64,libffi8,libpython3.13-minimal,libpython3.13-stdlib,python3.13-minimal \
  --extract-hook='cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1"/etc/ssl/certs/ca-certificates.crt' \
  --extract-hook='ln -s python3.13 "$1"/usr/bin/python3' \
  --extract-hook='printf "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n" > "$1"/etc/passwd' \
  --extract-hook='printf "root:x:0:\nnonroot:x:65532:\n" > "$1"/etc/group' \
  --extract-hook='find "$1"/usr/bin "$1"/usr/sbin ! -type d ! -name "python3*" -delete' \
  --extract-hook='cd "$1"/usr/share && rm -rf man perl5 ca-certificates locale bash-completion info lintian' \
  --extract-hook='find "$1"/usr/share/doc -type f ! -name copyright -delete' \
  trixie "$folder/runtime.tar"

[ -e "$folder/busybox.tar" ] || mmdebstrap --quiet --variant=extract --include=busybox-static \
  --extract-hook='mkdir "$1"/busybox && cp "$1"/usr/bin/busybox "$1"/busybox/ && for name in $("$1"/busybox/busybox --list); do [ "$name" = busybox ] || ln -s busybox "$1/busybox/$name"; done' \
  trixie "$folder/busybox.tar"

for name in build runtime busybox; do
  case $name in
    build) change='--env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' ;;
    runtime) change='--user 65532:65532' ;;
    busybox) change='--env PATH=/busybox' ;;
  esac
  container=$(buildah from scratch)
  buildah config ${change:+$change} "$container"
  buildah add --quiet "$container" "$folder/$name.tar" / > /dev/null
  # The same image, whenever it is made of the same packages.
  buildah commit --quiet --rm --format docker --timestamp 0 --identity-label=false "$container" \
    "localhost/sternpost-stand-in:$name" > /dev/null
done
