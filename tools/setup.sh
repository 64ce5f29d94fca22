#!/usr/bin/env bash
# Installs every Debian package that building, running and testing the project needs. Safe to repeat; asks nothing.
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache make git pkg-config              # build
  libdnnl-dev libeigen3-dev nlohmann-json3-dev libcli11-dev     # libraries the programs link
  libfmt-dev libbenchmark-dev libxxhash-dev libpng-dev zlib1g-dev
  libgtest-dev libgmock-dev                                     # tests
  clang-format-14 clang-tidy-14                                 # static checks
  dataset-fashion-mnist                                         # the real images of task `image`
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi
echo "setup: installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "setup: done"
