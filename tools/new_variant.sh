#!/usr/bin/env bash
# Starts a variant: variants/NAME.cpp and tests/variants/NAME_test.cpp, which build, pass and show up in lra-run --list.
# They are the documented example (tests/out_of_tree/mean.cpp and its test) under a new name.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"

refuse() {
  echo "new_variant.sh: $1" >&2
  exit 2
}

[ $# -eq 1 ] || refuse "one argument is wanted, the name of the variant: tools/new_variant.sh my_variant"
name=$1
[[ $name =~ ^[a-z][a-z0-9_]*$ ]] || refuse "'$name' is no name for a variant; begin with a-z and use a-z, 0-9 and _"
[ ${#name} -le 31 ] || refuse "'$name' has ${#name} letters; use at most 31"
code=$root/variants/$name.cpp
test=$root/tests/variants/${name}_test.cpp
for file in "$code" "$test"; do
  [ ! -e "$file" ] || refuse "${file#"$root"/} exists already; choose another name"
done

type=$(sed -E 's/(^|_+)([a-z0-9])/\U\2/g; s/_//g' <<<"$name") # my_variant -> MyVariant
title=$(tr -s _ ' ' <<<"${name^}")                            # my_variant -> My variant

# The file appears whole or not at all, in the house's format where clang-format is installed.
make_file() {
  sed -E "s/\\bMeanAttention\\b/${type}Attention/g; s/\\bMean attention\\b/$title/g; s/\"mean\"/\"$name\"/g
    s/TEST\\(Mean,/TEST($type,/; s|^// mean:|// $name:|" "$1" >"$2.part"
  if command -v clang-format-14 >/dev/null && [ -e "$root/.clang-format" ]; then
    clang-format-14 -i --style=file:"$root/.clang-format" "$2.part"
  fi
  mv "$2.part" "$2"
}
make_file "$root/tests/out_of_tree/mean.cpp" "$code"
make_file "$root/tests/out_of_tree/mean_test.cpp" "$test"

echo "variants/$name.cpp"
echo "tests/variants/${name}_test.cpp"
echo "Both compute the mean of the values; make them yours (docs/writing-a-variant.md), then: make build test" >&2
