# Sourced by ./dev: up, down, status and the loop that keeps `ebb serve` alive.

# The state lies in the tree, unless the account `ebb` cannot reach it there (a checkout under a closed home folder).
state_folder() {
  state=$root/.state
  mkdir -p "$state"
  if [ "$(id -u)" = 0 ] && id ebb >/dev/null 2>&1 && ! runuser -u ebb -- test -x "$state"; then
    state=/var/lib/ebb-dev
    mkdir -p "$state"
  fi
  program=$state/bin/ebb  # with its runtime folder beside it
  config=$state/ebb.yaml
  keeper=$state/keeper   # pid and start time of the _keep loop
  serve_log=$state/serve.log
}

# A pid alone may be somebody else's by now; with its start time it is one process for ever.
start_time() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null; }

keeper_pid() {
  local pid born
  read -r pid born 2>/dev/null <"$keeper" || return 1
  [ -n "$born" ] && [ "$(start_time "$pid")" = "$born" ] && echo "$pid"
}

# Processes that serve our config: launcher and daemon. Only looked at, and ended only by these ids.
our_processes() { pgrep -f -- "serve --config $config" | grep -vx "$$" || true; }

url() { sed -n 's/^listen: *"\?\([0-9.]*:[0-9]*\)"\?.*/http:\/\/\1/p' "$config" 2>/dev/null; }

is_ready() { "$python" - "$1" <<'PY' 2>/dev/null
import sys, urllib.request
sys.exit(urllib.request.urlopen(sys.argv[1] + "/readyz", timeout=2).status != 200)
PY
}

free_port() { "$python" - "$1" <<'PY'
import socket, sys
with socket.socket() as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind(("127.0.0.1", int(sys.argv[1])))
    except OSError:
        s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])
PY
}

# Runs detached. Restarts `ebb serve` when its launcher dies, quickly at first, then less and less often.
_keep() {
  state_folder
  local child=0 stopping= pause=0.1 began
  trap 'stopping=1; [ $child != 0 ] && kill -TERM $child 2>/dev/null || true' TERM INT
  trap '' HUP
  while [ -z "$stopping" ]; do
    began=$SECONDS
    "$program" serve --config "$config" &
    child=$!
    # wait returns early when the trap runs; ask again until the child is gone.
    while kill -0 $child 2>/dev/null; do wait $child || true; done
    [ -n "$stopping" ] && break
    [ $((SECONDS - began)) -gt 30 ] && pause=0.1
    echo "ebb serve ended, starting it again in $pause s" >&2
    sleep "$pause"
    pause=$(awk -v p="$pause" 'BEGIN {print p * 2 > 10 ? 10 : p * 2}')
  done
}

up() {
  if [ "$(id -u)" != 0 ]; then deps; exec sudo "$root/dev" up; fi
  deps
  account
  state_folder
  say "building the release binary"
  build release ebb ebb_python_runtime
  # A running service keeps a copy of its own, so that a build beside it changes nothing under its feet.
  if ! cmp -s "$release" "$program" || ! diff -rq "${release%/*}/runtime" "$state/bin/runtime" >/dev/null 2>&1; then
    if [ -n "$(keeper_pid)" ]; then
      say "the program changed: restarting"
      stop_service
    fi
    rm -rf "$state/bin"
    mkdir -p "$state/bin"
    cp -a "${release%/*}/runtime" "$state/bin/runtime"
    install -m 0755 "$release" "$program"
  fi
  start_service
  local where
  where=$(url)
  EBB_URL=$where "$python" tools/show_digits.py "$program" "$where"
  cat <<TEXT

Running at $where  (data in $state/data, log in $serve_log)
  curl -s --data-binary @examples/digits/samples/test-006.png -H 'content-type: image/png' $where/fn/vision/digits
  curl -s -H @<(sed 's/^/X-Ebb-Key: /' $state/data/admin.key) $where/metrics
  EBB_URL=$where $program ls        also: logs -f vision/digits, usage vision, deploy examples/hello
Stop it with ./dev down
TEXT
}

start_service() {
  if [ -n "$(keeper_pid)" ] && is_ready "$(url)"; then
    say "already running"
    return
  fi
  [ -n "$(keeper_pid)" ] && stop_service
  local port
  port=$(free_port 8080)
  [ "$port" = 8080 ] || say "port 8080 is taken: listening on $port"
  mkdir -p "$state/data"
  cat >"$config" <<YAML
# Written by ./dev up. Every key is explained in packaging/ebb.yaml.
data_dir: $state/data
listen: 127.0.0.1:$port
YAML
  say "starting ebb serve"
  setsid "$root/dev" _keep >>"$serve_log" 2>&1 </dev/null &
  local pid=$!
  echo "$pid $(start_time $pid)" >"$keeper"
  disown
  local tries=0
  until is_ready "$(url)"; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ] || [ -z "$(keeper_pid)" ]; then
      tail -n 20 "$serve_log" >&2
      stop_service
      die "ebb serve did not become ready in 30 s; its log: $serve_log"
    fi
    sleep 0.1
  done
}

stop_service() {
  local pid left tries
  pid=$(keeper_pid) || true
  if [ -n "$pid" ]; then
    kill -TERM "$pid"
    for ((tries = 0; tries < 300; tries++)); do
      [ -n "$(keeper_pid)" ] || break
      sleep 0.1
    done
    [ -z "$(keeper_pid)" ] || kill -KILL "$pid"
  fi
  # A daemon or launcher that outlived its keeper (or whose keeper was killed) goes by its own id.
  for left in $(our_processes); do kill -TERM "$left" 2>/dev/null || true; done
  for ((tries = 0; tries < 100; tries++)); do
    [ -n "$(our_processes)" ] || break
    sleep 0.1
  done
  for left in $(our_processes); do kill -KILL "$left" 2>/dev/null || true; done
  rm -f "$keeper"
}

down() {
  if [ "$(id -u)" != 0 ]; then exec sudo "$root/dev" down; fi
  state_folder
  if [ -z "$(keeper_pid)" ] && [ -z "$(our_processes)" ]; then
    echo "nothing is running"
    return
  fi
  stop_service
  local mounts
  mounts=$(awk -v under="$state/" 'index($2, under) == 1 {print $2}' /proc/self/mounts)
  [ -z "$(our_processes)" ] || die "still running: $(our_processes)"
  [ -z "$mounts" ] || die "still mounted: $mounts"
  echo "stopped: no process and no mount is left. Data stays in $state/data"
}

status() {
  state_folder
  if [ -n "$(keeper_pid)" ] && is_ready "$(url)"; then
    echo "running at $(url), processes $(our_processes | tr '\n' ' ')"
  elif [ -n "$(keeper_pid)" ]; then
    echo "started, but not ready; its log: $serve_log"
    return 1
  else
    echo "not running; ./dev up starts it"
    return 3
  fi
}
