# Sourced by every script of this folder.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
me=${0##*/}

die() { echo "$me: $*" >&2; exit 1; }

# folder DIR: makes it, prints its absolute name
folder() { mkdir -p "$1" && cd "$1" && pwd; }

# listening PORT: somebody answers there
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# refuse_taken DIR PORT
refuse_taken() {
  if [ -s "$1/pid" ] && running "$(cat "$1/pid")"; then die "already running in $1 as $(cat "$1/pid")"; fi
  if listening "$2"; then die "port $2 is in use"; fi
}

# running PID: there, and not a zombie
running() { grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null; }

# ours PID DIR: a process whose command line or working directory is of DIR, so that a reused pid is left alone
ours() {
  running "$1" || return 1
  { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null | grep -qF -- "$2" || [ "$(readlink "/proc/$1/cwd")" = "$2" ]
}

# end_server DIR [SIGNAL]: ends the process whose pid is in DIR/pid; after 30 s with SIGKILL
end_server() {
  local dir pid
  [ -d "$1" ] || return 0
  dir=$(cd "$1" && pwd)
  [ -s "$dir/pid" ] || return 0
  pid=$(cat "$dir/pid")
  if ours "$pid" "$dir"; then
    kill "-${2:-TERM}" "$pid"
    for _ in $(seq 600); do running "$pid" || break; sleep 0.05; done
    if ours "$pid" "$dir"; then kill -KILL "$pid"; fi
  fi
  rm -f "$dir/pid"
}

# wait_for SECONDS WHAT LOG COMMAND...: until COMMAND succeeds; shows the end of LOG if it never does
wait_for() {
  local seconds=$1 what=$2 log=$3 deadline=$((SECONDS + $1))
  shift 3
  until "$@" 2>/dev/null; do
    if [ $SECONDS -ge "$deadline" ]; then
      tail -n 30 "$log" >&2 || true
      die "$what did not come up in $seconds s"
    fi
    sleep 0.1
  done
}

# Some servers refuse to run as root: then they run as postgres, who gets the folder.
as_postgres=()
if [ "$(id -u)" = 0 ] && id postgres >/dev/null 2>&1; then
  as_postgres=(setpriv --reuid="$(id -u postgres)" --regid="$(id -g postgres)" --init-groups)
fi
give_to_postgres() { if [ ${#as_postgres[@]} -gt 0 ]; then chown -R postgres: "$1"; fi; }

# The newest PostgreSQL that is here, or the one of PG_CONFIG.
pg_bindir() {
  local config=${PG_CONFIG:-} d
  if [ -z "$config" ] && command -v pg_config >/dev/null; then config=pg_config; fi
  if [ -n "$config" ]; then d=$("$config" --bindir); [ -x "$d/postgres" ] && { echo "$d"; return; }; fi
  d=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  [ -n "$d" ] || die "no PostgreSQL server found; set PG_CONFIG"
  echo "$d"
}
