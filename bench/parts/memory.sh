# One transaction with millions of rows: what memory the workers have meanwhile.
part_memory() {
  local n=${HUGE_ROWS:-5000000} start committed captured lsn
  sql -c "SELECT tenant_blueprint_add('huge', 1, 'CREATE TABLE big (id bigint PRIMARY KEY, n int)')" >/dev/null
  sql -c "SELECT tenant_sync_table('huge', 'big', index_type => 'big', mapping =>
    '{\"settings\": {\"index\": $settings}, \"mappings\": {\"dynamic\": false, \"properties\": {\"n\": {\"type\": \"integer\"}}}}')" >/dev/null
  make_tenant h huge
  watch_memory
  start=$(now)
  sql -c "INSERT INTO tenant_h.big SELECT i, i % 1000 FROM generate_series(1, $n) i"
  committed=$(now)
  lsn=$(sql -c 'SELECT pg_current_wal_lsn()')
  # the cache sink has nothing to do with the table: it is as far as capture
  until [ "$(sql -c "SELECT acked_lsn >= '$lsn' FROM tenancy.stat_sync WHERE sink = 'cache'")" = t ]; do sleep 1; done
  captured=$(now)
  wait_synced
  end_memory
  echo "one transaction of $n rows: written in $(calc "$committed - $start" %.0f) s, captured $(calc "$captured - $committed" %.0f) s later, acknowledged $(calc "$(now) - $committed" %.0f) s later"
  say_memory "one transaction of $n rows"
  drop_tenant h
}
