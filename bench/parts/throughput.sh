# Rows/s from capture to acknowledged, beside what bare _bulk requests with the same documents reach.

# One kind of run: its seconds to a file, and its processes' CPU to another; RUN is a function that prints seconds.
measured() {
  local kind=$1 c s e c1 s1 e1 seconds
  c=$(cpu "$(worker capture)") s=$(cpu "$(worker search)") e=$(cpu "$(search_pid)")
  seconds=$("$2" "${@:3}")
  c1=$(cpu "$(worker capture)") s1=$(cpu "$(worker search)") e1=$(cpu "$(search_pid)")
  echo "$seconds" >>"$dir/$kind.seconds"
  awk -v c="$c" -v s="$s" -v e="$e" -v c1="$c1" -v s1="$s1" -v e1="$e1" -v r="$rows" \
    'BEGIN {f = 100000 / r; printf "%.2f %.2f %.2f\n", (e1 - e) * f, (c1 - c) * f, (s1 - s) * f}' >>"$dir/$kind.cpu"
}

# raw INDEX BODY_DOCS: prints the seconds
raw() {
  curl -sf -XPUT "$url/$1" -H 'content-type: application/json' --data-binary "$index_body" >/dev/null
  sleep 1
  "$bench/raw_bulk" "$search_port" "$1" "$dir/documents" "$lanes" "$2" | tee -a "$dir/raw.client" | cut -d' ' -f1
  curl -sf -XDELETE "$url/$1" >/dev/null
}

# The ceiling with a session that writes the same rows at the same time, into a table that nobody syncs.
raw_beside_writer() {
  local start
  sql -c "CREATE TABLE unsynced ($definition)"
  start=$(now)
  stream_rows unsynced &
  raw "$1" "$2" >/dev/null
  wait $!
  calc "$(now) - $start - 1" %.3f # raw waits a second first
  sql -c 'DROP TABLE unsynced'
}

# Transactions of 100 rows that are there already: capture is stopped while they are written.
run_stream() {
  local capture start
  make_tenant s stream
  capture=$(worker capture)
  kill -STOP "$capture"
  stream_rows tenant_s.docs
  sleep 1
  start=$(now)
  kill -CONT "$capture"
  wait_synced
  calc "$(now) - $start" %.3f
  drop_tenant s
}

# The same while they are written.
run_live() {
  local start
  make_tenant s stream
  sleep 1
  start=$(now)
  stream_rows tenant_s.docs
  wait_synced
  calc "$(now) - $start" %.3f
  drop_tenant s
}

# A table becomes synced: its index is made and filled, and looked through.
run_copy() {
  local start
  sleep 1
  start=$(now)
  sync_docs copy
  wait_synced
  calc "$(now) - $start" %.3f
  sql -c "SELECT tenant_unsync_table('copy', 'docs')" >/dev/null
  wait_synced
}

# The number of documents in a body with which bare requests are fastest.
best_body() {
  local n
  for n in 2000 500 1000 2000 4000 8000; do # the first is a warm-up
    echo "$(raw try "$n") $n"
  done | tail -n +2 | sort -n | head -1 | cut -d' ' -f2
}

client_cpu() { calc "$(cut -d' ' -f2 "$dir/raw.client" | median) * 100000 / $rows"; }
cpu_of() { awk -v n="$2" '{print $n}' "$dir/$1.cpu" | median; }
rate_of() { calc "$rows / $(median <"$dir/$1.seconds")" %.0f; }

# say_rate KIND CEILING NAME: one figure
say_rate() {
  local e c s work
  e=$(cpu_of "$1" 1) c=$(cpu_of "$1" 2) s=$(cpu_of "$1" 3)
  work=$(calc "($(cpu_of "$2" 1) + $(client_cpu)) / ($e + $c + $s)")
  figure "$3" "$(calc "$(median <"$dir/$2.seconds") / $(median <"$dir/$1.seconds")")" ">=" 0.85 \
    "$(rate_of "$1") of $(rate_of "$2") documents/s; CPU s per 100,000: search server $e (bare: $(cpu_of "$2" 1)), capture $c, search worker $s; ratio of all CPU $work"
}

part_throughput() {
  local body round busy started
  make_tenant c copy
  insert_rows tenant_c.docs
  wait_synced
  body=$(best_body)
  run_stream >/dev/null
  rm -f "$dir/raw.client"
  watch_memory
  busy=$(busy_elsewhere) started=$(now)
  for round in $(seq "$rounds"); do
    measured raw raw r "$body"
    measured stream run_stream
    measured copy run_copy
    measured both raw_beside_writer r "$body"
    measured live run_live
  done
  end_memory
  figure "processors that other programs of this machine used meanwhile" \
    "$(calc "($(busy_elsewhere) - $busy) / ($(now) - $started)")" "" "" "of $(nproc): with more than a little, the times below say nothing"
  drop_tenant c
  figure "bare _bulk, $lanes connections, documents/s" "$(rate_of raw)" "" "" \
    "bodies of $body documents were the fastest; CPU s per 100,000: search server $(cpu_of raw 1), client $(client_cpu)"
  say_rate stream raw "stream of committed transactions of 100 rows / bare _bulk"
  say_rate live both "stream while it is written / bare _bulk beside the same writing"
  say_rate copy raw "first copy of a table / bare _bulk"
  say_memory throughput
  rate_of stream >"$dir/rate.stream"
  rate_of live >"$dir/rate.live"
  rate_of copy >"$dir/rate.copy"
}
