# Sourced by ./dev: the tests, stage by stage, and the fuzz targets.
#
# Every stage writes JUnit XML into one folder; tools/test_report.py adds them up to the closing line.

run_tests() {
  local quick= tsan= filter= flags=()
  slow="not slow"
  while [ $# -gt 0 ]; do
    case $1 in
      --quick) quick=1 ;;
      --tsan) tsan=1 ;;
      --slow) slow="slow or not slow" ;;
      -*) die "test knows --quick, --slow and --tsan, not $1" ;;
      *) filter=$1 ;;
    esac
    shift
  done
  if [ -z "$quick" ] && [ "$(id -u)" != 0 ]; then
    deps
    [ "$slow" = "not slow" ] || flags+=(--slow)
    exec sudo "$root/dev" test ${tsan:+--tsan} "${flags[@]}" ${filter:+"$filter"}
  fi
  deps
  reports=$root/build/reports
  rm -rf "$reports"
  mkdir -p "$reports"
  failed_stages=()

  stage style pytest_stage style tests/style
  if [ -n "$quick" ]; then
    stage "unit tests" unit_stage dev
  else
    # Two builds, not three: assertions are on in every preset, so the unit tests run in the one that sees more.
    stage "unit tests, address and undefined-behaviour sanitizers" unit_stage asan
    stage "unit tests that no sanitizer lets run, release build" unit_stage release unsanitized_test
    stage "functional, security and fault tests, release build" functional_stage release "$slow"
    stage "Python runtime in namespaces of its own" runtime_stage release
    stage "functional tests marked 'sanitized', sanitizer build" functional_stage asan sanitized
  fi
  [ -z "$tsan" ] || stage "unit tests, thread sanitizer" unit_stage tsan

  local bad=0
  for name in "${failed_stages[@]}"; do echo "failed: $name"; done
  # The stages' own verdict counts too: a crash before any report is a failure.
  "$python" tools/test_report.py "$reports" "${failed_stages[@]}" || bad=1
  return $bad
}

stage() {
  local name=$1
  shift
  say "$name"
  # In a subshell that `||` watches, `set -e` is off: each stage returns its own status.
  "$@" || failed_stages+=("$name")
}

# PRESET [TARGET]: all that the preset builds, or the target alone.
unit_stage() {
  local preset=$1
  (build "$@") || return 1
  mkdir -p "$reports/gtest-$preset"
  # GTEST_OUTPUT names a folder: each binary writes a file of its own with every single case.
  GTEST_OUTPUT="xml:$reports/gtest-$preset/" ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 \
    UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=second_deadlock_stack=1 \
    ctest --test-dir "build/$preset" --output-on-failure -j "$(jobs)" --output-junit "$reports/ctest-$preset.xml" \
    ${filter:+-R "$filter"} --no-tests=ignore
}

pytest_stage() {
  local name=$1
  shift
  local status=0
  "$python" -m pytest -q -p no:cacheprovider --junitxml "$reports/pytest-$name.xml" ${filter:+-k "$filter"} "$@" || status=$?
  # 5: nothing was selected, which a filter may well cause.
  [ $status = 0 ] || [ $status = 5 ]
}

functional_stage() {
  local preset=$1 marker=$2 folders=() folder targets=(ebb ebb_python_runtime)
  [ "$preset" = asan ] || targets+=(dispatch_bench)  # test_dispatch.py; it counts by an operator new of its own
  account
  (build "$preset" "${targets[@]}") || return 1
  for folder in tests/functional tests/security tests/fault examples; do
    compgen -G "$folder/test_*.py" >/dev/null || compgen -G "$folder/*/test_*.py" >/dev/null && folders+=("$folder")
  done
  [ ${#folders[@]} -gt 0 ] || return 0
  EBB_BIN=$root/build/$preset/ebb pytest_stage "functional-$preset" ${marker:+-m "$marker"} "${folders[@]}"
}

runtime_stage() {
  (build "$1" ebb_python_runtime) || return 1
  EBB_RUNTIME_DIR=$root/build/$1/runtime pytest_stage runtime runtimes/python/tests
}

run_fuzz() {
  local seconds=${1:-60} target name names=()
  case $seconds in *[!0-9]*) die "fuzz knows a number of seconds, not $seconds" ;; esac
  for target in tests/fuzz/*_fuzz.cc; do names+=("$(basename "$target" .cc)"); done
  deps --tools
  build fuzz "${names[@]}"
  for target in tests/fuzz/*_fuzz.cc; do
    name=$(basename "$target" .cc)
    mkdir -p ".cache/fuzz/$name"
    say "$name for $seconds s"
    "build/fuzz/tests/fuzz/$name" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 ".cache/fuzz/$name"
  done
}
