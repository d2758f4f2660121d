# Sourced by bench/sync and its parts: servers, rows, and how figures are measured and printed.
servers=$bench/../test/servers
rows=${ROWS:-100000}
rounds=${ROUNDS:-3}
lanes=${LANES:-2}
product=${PRODUCT:-elasticsearch7}
dir=
failed=0

# Makes the folder and starts the search server and Redis, once.
start_servers() {
  [ -z "$dir" ] || return 0
  dir=$(mktemp -d /tmp/pg_tenancy_bench.XXXXXX)
  chmod 755 "$dir"
  trap stop_servers EXIT
  mapfile -t ports < <("$servers/free-port" 3)
  pg_port=${ports[0]} search_port=${ports[1]} redis_port=${ports[2]}
  url=http://127.0.0.1:$search_port
  SEARCH_HEAP=${SEARCH_HEAP:-1g} "$servers/search-start" "$product" "$dir/search" "$search_port" >/dev/null
  "$servers/redis-start" "$dir/redis" "$redis_port" >/dev/null
  bin=$("${PG_CONFIG:-pg_config}" --bindir)
  start_postgres
  make_database
}

stop_servers() {
  [ -z "${watcher:-}" ] || kill "$watcher" 2>/dev/null || true
  "$servers/pg-stop" "$dir/pg" || true
  "$servers/search-stop" "$dir/search" || true
  "$servers/redis-stop" "$dir/redis" || true
  rm -rf "$dir"
}

# start_postgres [NAME=VALUE...]: both sinks, unless a setting says otherwise
start_postgres() {
  "$servers/pg-start" "$dir/pg" "$pg_port" wal_level=logical shared_buffers=1GB max_wal_size=8GB \
    shared_preload_libraries=pg_tenancy tenancy.search_lanes="$lanes" tenancy.search_url="$url" \
    tenancy.redis_url="redis://127.0.0.1:$redis_port" ${PG_SETTINGS:-} "$@" >/dev/null
  postmaster=$(cat "$dir/pg/pid")
}

# restart_postgres [NAME=VALUE...]: with other settings
restart_postgres() {
  "$servers/pg-stop" "$dir/pg"
  start_postgres "$@"
}

sql() { "$bin/psql" -X -q -At -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$pg_port" -U postgres -d "${db:-bench}" "$@"; }
wait_synced() { [ "$(sql -c "SELECT tenancy.sync_wait('900s')")" = t ] || { echo "the sinks did not catch up" >&2; return 1; }; }

columns="id, title, customer_company, customer_industry, technologies, timeline_weeks, budget_usd, roi_percent, full_text, created_at"
definition="id uuid PRIMARY KEY, title text, customer_company text, customer_industry text, technologies jsonb,
  timeline_weeks int, budget_usd numeric(12,2), roi_percent numeric(6,2), full_text text, created_at timestamp"
properties='{"id": {"type": "keyword"}, "title": {"type": "text"}, "customer_company": {"type": "keyword"},
  "customer_industry": {"type": "keyword"}, "technologies": {"type": "keyword"}, "timeline_weeks": {"type": "integer"},
  "budget_usd": {"type": "double"}, "roi_percent": {"type": "double"}, "full_text": {"type": "text"},
  "created_at": {"type": "date"}}'
settings='{"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "1s"}'
index_body="{\"settings\": {\"index\": $settings}, \"mappings\": {\"dynamic\": false, \"properties\": $properties}}"

# Blueprint "stream": table docs, synced from the start; blueprint "copy": the same, synced when the part says so.
make_database() {
  db=postgres sql -c 'CREATE DATABASE bench'
  sql -c 'CREATE EXTENSION pg_tenancy' -c "CREATE TABLE src (n int PRIMARY KEY, ${definition/ PRIMARY KEY/})"
  "$bench/make_rows" "$rows" | sql -c 'COPY src FROM STDIN'
  sql -c 'VACUUM ANALYZE src' \
    -c "SELECT tenant_blueprint_add(b, 1, \$\$CREATE TABLE docs ($definition)\$\$) FROM unnest('{stream,copy}'::text[]) b" >/dev/null
  sync_docs stream
  sql -c "COPY (SELECT id || E'\t' || (to_jsonb(src) - 'n') FROM src ORDER BY n) TO STDOUT" |
    sed 's/\\t/\t/; s/\\\\/\\/g' >"$dir/documents"
}

sync_docs() {
  sql -c "SELECT tenant_sync_table('$1', 'docs', index_type => 'docs', mapping => '$index_body', cache_keys => ARRAY['doc:{id}'])" >/dev/null
}

# insert_rows TABLE: all rows, in one transaction
insert_rows() { sql -c "INSERT INTO $1 SELECT $columns FROM src"; }
# stream_rows TABLE: all rows, in transactions of 100
stream_rows() {
  sql -c "DO \$\$ BEGIN FOR a IN 0 .. $rows / 100 - 1 LOOP
    INSERT INTO $1 SELECT $columns FROM src WHERE n > a * 100 AND n <= a * 100 + 100; COMMIT; END LOOP; END \$\$"
}

# make_tenant NAME BLUEPRINT: ready to be written to, its indices too
make_tenant() {
  sql -c "SELECT tenant_create('$1', '$2')" >/dev/null
  wait_synced
  until [ "$(sql -c "SELECT count(*) FROM tenancy.search_index WHERE state <> 'ready'")" = 0 ]; do sleep 0.1; done
}
drop_tenant() { sql -c "SELECT tenant_drop('$1', purge => true)" >/dev/null; wait_synced; }

# worker ROLE: pid of the capture, search or cache worker
worker() {
  local pid
  for pid in $(cat "/proc/$postmaster/task/$postmaster/children"); do
    case $(tr '\0' ' ' <"/proc/$pid/cmdline") in *"pg_tenancy $1"*) echo "$pid"; return ;; esac
  done
  return 1
}

now() { date +%s.%N; }
# cpu PID: seconds of CPU it has used, ended children included
cpu() { [ -n "$1" ] && awk '{sub(/.*\) /, ""); print ($12 + $13 + $14 + $15) / 100}' "/proc/$1/stat"; }
# busy_elsewhere: seconds of CPU that processes used which are not of this run
busy_elsewhere() {
  local pid ours=0
  for pid in $(descendants $$) "$postmaster" $(descendants "$postmaster") "$(search_pid)" "$(cat "$dir/redis/pid")"; do
    ours="$ours + $(cpu "$pid" 2>/dev/null || echo 0)"
  done
  calc "$(awk '/^cpu / {print ($2 + $3 + $4 + $7 + $8) / 100}' /proc/stat) - ($ours)"
}
# descendants PID: its living children, and theirs
descendants() {
  local child
  for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do echo "$child"; descendants "$child"; done
}
search_pid() { cat "$dir/search/pid"; }
median() { sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
calc() { awk "BEGIN {printf \"${2:-%.2f}\", $1}"; }

# Begins and ends the measurement of what memory the workers have.
watch_memory() { "$bench/watch_memory" "$postmaster" "$dir/memory" & watcher=$!; }
end_memory() { kill "$watcher"; wait "$watcher" || true; watcher=; }

# figure WHAT VALUE "<=|>=" TARGET LIMIT: one line; target "" means that there is none
figure() {
  local verdict=""
  if [ -n "$4" ]; then
    if awk "BEGIN {exit !($2 $3 $4)}"; then verdict=" (target $3 $4: met)"; else verdict=" (target $3 $4: NOT MET)"; failed=1; fi
  fi
  echo "$1: $2$verdict${5:+; $5}"
}

# say_memory WHEN: the most that each worker had
say_memory() {
  local role anon all
  while read -r role anon all; do
    figure "memory of the $role worker during $1, MB" "$(calc "$all / 1024" %.1f)" "<=" 150 \
      "RssAnon + RssFile, RssAnon alone $(calc "$anon / 1024" %.1f)"
  done <"$dir/memory"
}
