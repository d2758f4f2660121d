# Capture alone: Debezium's embedded engine with a consumer that only counts, beside our capture worker with both sinks
# off, whose keys the sink workers throw away.  Both read the same transactions, written before.

install_debezium() {
  MAVEN_OPTS="-XX:TieredStopAtLevel=1" mvn -B -q -Dstyle.color=never -f "$bench/peers/debezium-pom.xml" \
    -Dmaven.repo.local="$dir/maven" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$dir/jars"
}

# Prints the events/s of the last two thirds.
debezium_rate() {
  mkdir -p "$dir/debezium"
  sql -c "CREATE PUBLICATION peer_debezium FOR TABLE unsynced" \
    -c "SELECT pg_create_logical_replication_slot('peer_debezium', 'pgoutput')" >/dev/null
  stream_rows unsynced
  "$(dirname "$(command -v java)")/java" -cp "$dir/jars/*" "$bench/peers/CountEvents.java" \
    "$pg_port" bench public.unsynced "$rows" "$dir/debezium" 2>"$dir/debezium.log" | awk '/events/ {printf "%.0f\n", $1 / $3}'
  sql -c "SELECT pg_drop_replication_slot('peer_debezium')" -c 'DROP PUBLICATION peer_debezium' >/dev/null
}

# Prints our rows/s.
capture_rate() {
  local capture start lsn
  capture=$(worker capture)
  kill -STOP "$capture"
  stream_rows tenant_d.docs
  lsn=$(sql -c 'SELECT pg_current_wal_flush_lsn()')
  start=$(now)
  kill -CONT "$capture"
  sql -c "DO \$\$ BEGIN WHILE (SELECT received_lsn < '$lsn' FROM tenancy.sync_status() WHERE sink = 'capture') LOOP PERFORM pg_sleep(0.002); END LOOP; END \$\$"
  calc "$rows / ($(now) - $start)" %.0f
}

part_debezium() {
  local theirs ours
  if ! install_debezium >"$dir/maven.log" 2>&1; then
    echo "debezium: skipped, cannot be had: $(grep -m 1 ERROR "$dir/maven.log" | cut -c 1-200)"
    return
  fi
  make_tenant d stream
  restart_postgres tenancy.search_url= tenancy.redis_url=
  sql -c "CREATE TABLE unsynced ($definition)"
  sleep 2
  ours=$(capture_rate)
  theirs=$(debezium_rate)
  sql -c 'DROP TABLE unsynced'
  restart_postgres
  wait_synced
  drop_tenant d
  figure "capture alone / Debezium's" "$(calc "$ours / $theirs")" ">=" 10 \
    "$ours and $theirs rows/s; ours: WAL to keys handed to sinks that are off; Debezium's: WAL to JSON in a consumer that counts, the first third left out as warm-up"
}
