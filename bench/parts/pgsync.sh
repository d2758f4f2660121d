# pgsync on the same rows and server, with the same index: first copy, daemon mode (triggers), WAL mode.

peer() { db=peer sql "$@"; }

# Installs it; false if that does not work.
install_pgsync() {
  if [ -n "${PGSYNC_VENV:-}" ]; then ln -s "$PGSYNC_VENV" "$dir/venv"; return; fi
  python3 -m venv "$dir/venv" && "$dir/venv/bin/pip" install -q "pgsync==${PGSYNC:-7.3.0}"
}

# run_pgsync PROGRAM ARGUMENT...: in the background
run_pgsync() {
  local program=$1
  shift
  (
    cd "$dir"
    exec env PG_HOST=127.0.0.1 PG_PORT="$pg_port" PG_USER=postgres PG_PASSWORD=none REDIS_HOST=127.0.0.1 REDIS_PORT="$redis_port" \
      ELASTICSEARCH_URL="$url" ELASTICSEARCH="$pgsync_es" OPENSEARCH="$pgsync_os" CHECKPOINT_PATH="$dir" NUM_WORKERS=2 \
      ELASTICSEARCH_CHUNK_SIZE=5000 GENERAL_LOGGING_LEVEL=WARNING LOG_INTERVAL=2 POLL_TIMEOUT=0.01 \
      "$dir/venv/bin/$program" -c "$dir/schema.json" "$@" >>"$dir/pgsync.log" 2>&1
  ) &
}

# An empty table, no index, nothing of an earlier run.
clear_pgsync() {
  peer -c "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = 'peer' AND NOT active" \
    -c 'DROP MATERIALIZED VIEW IF EXISTS _view CASCADE' -c 'DROP TABLE IF EXISTS docs CASCADE' -c "CREATE TABLE docs ($definition)" >/dev/null 2>&1
  curl -s -XDELETE "$url/docs" >/dev/null
  "${REDIS_CLI:-redis-cli}" -p "$redis_port" flushall >/dev/null
  rm -f "$dir"/.peer_*
}

documents() {
  curl -s -XPOST "$url/docs/_refresh" >/dev/null
  curl -s "$url/docs/_count" | awk -F'[:,]' '/"count"/ {n = $2} END {print n + 0}'
}
# wait_documents PID START: prints the rows/s until the index has all rows
wait_documents() {
  local deadline=$((SECONDS + ${PEER_TIMEOUT:-300}))
  while [ "$(documents)" != "$rows" ]; do
    if [ $SECONDS -ge $deadline ]; then echo "$(documents) of $rows rows within ${PEER_TIMEOUT:-300} s" >&2; calc "$(documents) / ($(now) - $2)" %.0f; return; fi
    sleep 0.25
  done
  calc "$rows / ($(now) - $2)" %.0f
}
end_pgsync() { kill "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }

pgsync_copy() {
  local start
  clear_pgsync
  peer -c "INSERT INTO docs SELECT $columns FROM src" -c 'ANALYZE docs'
  start=$(now)
  run_pgsync bootstrap
  wait $!
  run_pgsync pgsync
  wait $!
  wait_documents 0 "$start"
}

# pgsync_stream -d|-w
pgsync_stream() {
  local start pid
  clear_pgsync
  if [ "$1" = -d ]; then run_pgsync bootstrap; wait $!; run_pgsync pgsync -d; else run_pgsync pgsync -b -w; fi
  pid=$!
  sleep 6
  kill -0 $pid || { tail -5 "$dir/pgsync.log" >&2; echo 0; return; }
  start=$(now)
  db=peer stream_rows docs
  wait_documents $pid "$start"
  end_pgsync $pid
}

part_pgsync() {
  local copy trigger wal best live first
  if ! install_pgsync >"$dir/pip.log" 2>&1; then
    echo "pgsync: skipped, cannot be installed: $(tail -1 "$dir/pip.log")"
    return
  fi
  pgsync_es=True pgsync_os=False
  case $product in opensearch*) pgsync_es=False pgsync_os=True ;; esac
  db=postgres sql -c 'CREATE DATABASE peer'
  peer -c "CREATE TABLE src (n int PRIMARY KEY, ${definition/ PRIMARY KEY/})"
  sql -c 'COPY src TO STDOUT' | peer -c 'COPY src FROM STDIN' -c 'ANALYZE src'
  cat >"$dir/schema.json" <<S
[{"database": "peer", "index": "docs", "setting": $settings, "mapping": $properties, "nodes": {"table": "docs", "schema": "public",
  "columns": ["${columns//, /\", \"}"]}}]
S
  copy=$(pgsync_copy) trigger=$(pgsync_stream -d) wal=$(pgsync_stream -w) # 0: it ended, or did not finish
  clear_pgsync
  db=postgres sql -c 'DROP DATABASE peer WITH (FORCE)'
  [ -e "$dir/rate.live" ] || part_throughput
  live=$(cat "$dir/rate.live") first=$(cat "$dir/rate.copy")
  best=$((trigger > wal ? trigger : wal))
  if [ $((best * copy)) = 0 ]; then echo "pgsync: skipped, it did not run: $(tail -1 "$dir/pgsync.log")"; return; fi
  figure "stream while it is written / pgsync's better mode" "$(calc "$live / $best")" ">=" 5 \
    "$live rows/s; pgsync with triggers $trigger, from the WAL $wal; transactions of 100 rows"
  figure "first copy / pgsync's" "$(calc "$first / $copy")" ">=" 5 "$first and $copy rows/s; bare _bulk is $(calc "$(rate_of raw) / $copy" %.1f) times pgsync's"
}
