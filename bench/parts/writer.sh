# CPU of a writing session with the extension and both sinks, beside the same session without the library loaded.

# Prints the CPU seconds of a session that inserts rows one transaction each.
writer_cpu() {
  sql <<S | tail -1
CREATE TEMP TABLE cpu AS SELECT 0.0::float8 AS at;
CREATE FUNCTION pg_temp.used() RETURNS float8 LANGUAGE sql AS
  \$\$ SELECT (f[12]::float8 + f[13]::float8) / 100 FROM (SELECT string_to_array(regexp_replace(pg_read_file('/proc/self/stat'), '^.*\) ', ''), ' ')) s(f) \$\$;
UPDATE cpu SET at = pg_temp.used();
DO \$\$ BEGIN FOR i IN 1 .. $rows LOOP INSERT INTO tenant_w.docs SELECT $columns FROM src WHERE n = i; COMMIT; END LOOP; END \$\$;
SELECT pg_temp.used() - at FROM cpu;
S
}

part_writer() {
  local round order
  make_tenant w stream
  for round in $(seq $((rounds + 1))); do
    order="with without"
    if [ $((round % 2)) = 0 ]; then order="without with"; fi
    for kind in $order; do
      if [ "$kind" = with ]; then restart_postgres; else restart_postgres shared_preload_libraries=; fi
      sql -c 'TRUNCATE tenant_w.docs'
      if [ "$kind" = with ]; then wait_synced; fi
      writer_cpu >>"$dir/writer.$kind"
    done
    if [ "$round" = 1 ]; then rm "$dir"/writer.*; fi # a warm-up
  done
  restart_postgres
  wait_synced
  drop_tenant w
  figure "CPU of a session that writes, with / without the extension" \
    "$(calc "$(median <"$dir/writer.with") / $(median <"$dir/writer.without")" %.3f)" "<=" 1.03 \
    "$rows transactions of one row, $(median <"$dir/writer.with") and $(median <"$dir/writer.without") s; each commit looks at a flag, and wakes capture if it sleeps"
}
