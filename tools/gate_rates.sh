#!/usr/bin/env bash
# How often does lra-compare gate raise a false alarm here, and how often does it see what was planted? Runs it many
# times and keeps one JSON line a run, so that it can be stopped and started again; then prints the table of verdicts.
# Usage: tools/gate_rates.sh [-b BUILD] [-o FILE] [-a RUNS] [-p RUNS] [-c CELLS] [-l] [-t]
#   -b build/release        build folder; its target cost_changes makes the planted builds
#   -o build/gate-rates.jsonl
#   -a 50   runs of the build against itself, with -c softmax@256,linear@256 in turn
#   -p 5    runs against each planted change
#   -l      with a busy loop on every core
#   -t      only the table of what FILE has
set -euo pipefail
cd "$(dirname "$0")/.."

build=build/release out=build/gate-rates.jsonl same_runs=50 planted_runs=5 cells=softmax@256,linear@256 load=idle table=
while getopts b:o:a:p:c:lt flag; do
  case $flag in
    b) build=$OPTARG ;;
    o) out=$OPTARG ;;
    a) same_runs=$OPTARG ;;
    p) planted_runs=$OPTARG ;;
    c) cells=$OPTARG ;;
    l) load=loaded ;;
    t) table=yes ;;
    *) sed -n '2,11p' "$0" >&2; exit 2 ;;
  esac
done

busy=() work=
cleanup() {
  if [ ${#busy[@]} -gt 0 ]; then kill "${busy[@]}" 2>/dev/null || true; fi
  if [ -n "$work" ]; then rm -rf "$work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# one KIND BASE HEAD arguments...: runs the gate once and appends its line.
one() {
  local kind=$1 base=$2 head=$3 start code=0 answer
  shift 3
  start=$(date +%s%N)
  answer=$("$build/bin/lra-compare" gate -q --json --base "$base" --head "$head" "$@" 2>"$work/stderr") || code=$?
  if [ -z "$answer" ]; then
    echo "gate_rates: $kind: exit code $code: $(tail -1 "$work/stderr")" >&2
    exit 7
  fi
  answer=$(tr -d '\n' <<<"$answer")
  printf '{"kind":"%s","machine":"%s","code":%d,"seconds":%d,"load1":%s,"answer":%s}\n' "$kind" "$load" "$code" \
    $((($(date +%s%N) - start) / 1000000000)) "$(cut -d' ' -f1 /proc/loadavg)" "$answer" >>"$out"
}

# many KIND RUNS arguments of one...: until FILE has that many.
many() {
  local kind=$1 runs=$2 have
  shift 2
  have=$(grep -c "^{\"kind\":\"$kind\",\"machine\":\"$load\"" "$out" || true)
  for ((run = have; run < runs; ++run)); do
    echo "gate_rates: $kind, $load, run $((run + 1)) of $runs" >&2
    one "$kind" "$@"
  done
}

# A build folder whose variant "steady" has that change.
planted() {
  local folder=$work/$1
  mkdir -p "$folder/bin" "$folder/variants"
  ln -sf "$(realpath "$build")/bin/lra-bench" "$folder/bin/lra-bench"
  cp "$build/tests/cost_changes/$1.so" "$folder/variants/steady.so"
  echo "$folder"
}

if [ -z "$table" ]; then
  IFS=, read -ra each <<<"$cells"
  cmake --build "$build" --target lra-bench lra-compare cost_changes $(printf 'variant_%s ' "${each[@]%@*}") >/dev/null
  mkdir -p "$(dirname "$out")"
  touch "$out"
  work=$(mktemp -d)
  if [ $load = loaded ]; then
    for ((core = 0; core < $(nproc); ++core)); do
      sha256sum /dev/zero >/dev/null 2>&1 &
      busy+=($!)
    done
  fi
  for cell in "${each[@]}"; do
    many "same $cell" $((same_runs / ${#each[@]})) "$build" "$build" --cells "$cell" --no-instructions
  done
  base=$(planted same)
  time_only=(--cells steady@64 --no-counts --no-instructions)
  for change in cpu_plus_10 cpu_minus_10; do
    many "$change" "$planted_runs" "$base" "$(planted $change)" "${time_only[@]}"
  done
  many same "$planted_runs" "$base" "$base" "${time_only[@]}"
  many instructions_plus_1_5 "$planted_runs" "$base" "$(planted instructions_plus_1_5)" --cells steady@64 --no-counts --no-time
  for change in declared_plus_64k undeclared_plus_64k one_allocation one_parameter; do
    many "$change" "$planted_runs" "$base" "$(planted $change)" --cells steady@64 --no-time --no-instructions
  done
fi

printf '%-28s %-8s %5s %6s %9s %6s %13s %9s\n' build machine runs PASS IMPROVED FAIL INCONCLUSIVE 'seconds'
sed -E 's/^\{"kind":"([^"]*)","machine":"([^"]*)","code":[0-9]+,"seconds":([0-9]+).*"answer":\{ *"schema": *"[^"]*", *"verdict": *"([A-Z]+)".*/\1;\2;\3;\4/' "$out" |
  awk -F';' '{ k = $1 ";" $2; if (!(k in n)) order[++kinds] = k; ++n[k]; ++v[k, $4]; if ($3 > longest[k]) longest[k] = $3 }
    END { for (i = 1; i <= kinds; ++i) { k = order[i]; split(k, w, ";");
      printf "%-28s %-8s %5d %6d %9d %6d %13d %9s\n", w[1], w[2], n[k], v[k, "PASS"], v[k, "IMPROVED"], v[k, "FAIL"],
        v[k, "INCONCLUSIVE"], "<= " longest[k] + 0 } }'
