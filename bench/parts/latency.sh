# From the return of COMMIT until the session that asked knows that the sink has it, at a rate of transactions.

# Background load by pgbench, and sessions that update a row, commit, and wait for the sinks; prints milliseconds.
probe() {
  local rate=${RATE:-500} seconds=${SECONDS_EACH:-15} sessions=4 n pids=()
  cat >"$dir/update.sql" <<S
\\set n random(1, $rows)
UPDATE tenant_l.docs SET timeline_weeks = :n % 100 WHERE id = (SELECT id FROM src WHERE n = :n);
S
  # each session makes some 20 transactions/s, the load the rest
  "$bin/pgbench" -n -M prepared -h 127.0.0.1 -p "$pg_port" -U postgres -f "$dir/update.sql" -c 4 -j 1 \
    -R $((rate - sessions * 20)) -T $((seconds + 4)) bench >"$dir/pgbench" 2>&1 &
  pids=($!)
  sleep 2
  sql -c 'TRUNCATE latency'
  for n in $(seq $sessions); do
    sql >/dev/null <<S &
DO \$\$ DECLARE ms float8[]; k int; start timestamptz; BEGIN
  FOR i IN 1 .. $seconds * 20 LOOP
    k := 1 + random() * ($rows - 1);
    UPDATE tenant_l.docs SET timeline_weeks = i % 100 WHERE id = (SELECT id FROM src WHERE n = k);
    COMMIT;
    start := clock_timestamp();
    PERFORM tenancy.sync_wait('60s');
    ms[i] := 1000 * extract(epoch FROM clock_timestamp() - start);
    COMMIT;
    PERFORM pg_sleep(greatest(0, 0.1 * random() - ms[i] / 1000));
    COMMIT;
  END LOOP;
  INSERT INTO latency SELECT unnest(ms);
END \$\$;
S
    pids+=($!)
  done
  wait "${pids[@]}"
  sql -c 'SELECT percentile_disc(ARRAY[.5, .95, .99]) WITHIN GROUP (ORDER BY ms) FROM latency' | tr '{,}' ' '
  awk '/^tps/ {print $3}' "$dir/pgbench" >"$dir/background"
}

# say_latency SINK PERCENTILE TARGET: with only that sink configured
say_latency() {
  local p50 p95 p99 all
  wait_synced
  all=$(probe | awk '{printf "%.2f %.2f %.2f", $1, $2, $3}')
  read -r p50 p95 p99 <<<"$all"
  figure "commit to $1, $2, ms" "${!2}" "<=" "$3" \
    "p50 $p50, p95 $p95, p99 $p99 at ${RATE:-500} transactions/s asked ($(calc "$(cat "$dir/background") + 80" %.0f) made), waking the waiting session included"
}

part_latency() {
  make_tenant l stream
  insert_rows tenant_l.docs
  wait_synced
  sql -c 'CREATE UNLOGGED TABLE latency (ms float8)'
  restart_postgres tenancy.search_url=
  say_latency "Redis unlinked" p99 5
  restart_postgres tenancy.redis_url=
  wait_synced
  say_latency "search server acknowledged" p95 60
  restart_postgres
  drop_tenant l
  sql -c 'DROP TABLE latency'
}
