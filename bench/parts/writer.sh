# CPU of a writing session with the extension and both sinks, beside the same session without the library loaded: once with a
# processor to itself, which is what the extension adds to the session, and once where the scheduler puts it, which is that
# and what the workers and the search server cost it by taking turns on the same processors.

# writer_cpu PROCESSORS: the CPU seconds of a session on these that inserts rows one transaction each.
writer_cpu() {
  sql <<S | tail -1
CREATE TEMP TABLE cpu AS SELECT 0.0::float8 AS at;
CREATE TEMP TABLE said (line text);
CREATE FUNCTION pg_temp.used() RETURNS float8 LANGUAGE sql AS
  \$\$ SELECT (f[12]::float8 + f[13]::float8) / 100 FROM (SELECT string_to_array(regexp_replace(pg_read_file('/proc/self/stat'), '^.*\) ', ''), ' ')) s(f) \$\$;
DO \$\$ BEGIN EXECUTE format('COPY said FROM PROGRAM ''taskset -pc $1 %s''', pg_backend_pid()); END \$\$;
UPDATE cpu SET at = pg_temp.used();
DO \$\$ BEGIN FOR i IN 1 .. $rows LOOP INSERT INTO tenant_w.docs SELECT $columns FROM src WHERE n = i; COMMIT; END LOOP; END \$\$;
SELECT pg_temp.used() - at FROM cpu;
S
}

# others_on PROCESSORS: puts the server, its workers and the search server there; what they start follows.
others_on() {
  local pid
  for pid in "$postmaster" $(descendants "$postmaster") "$(search_pid)"; do taskset -apc "$1" "$pid" >/dev/null; done
}

# writer_rounds NAME SESSION OTHERS: medians in $dir/writer.NAME.with and .without, the first round being a warm-up
writer_rounds() {
  local round order kind
  for round in $(seq $((rounds + 1))); do
    order="with without"
    if [ $((round % 2)) = 0 ]; then order="without with"; fi
    for kind in $order; do
      if [ "$kind" = with ]; then restart_postgres; else restart_postgres shared_preload_libraries=; fi
      others_on "$3"
      sql -c 'TRUNCATE tenant_w.docs'
      if [ "$kind" = with ]; then wait_synced; fi
      writer_cpu "$2" >>"$dir/writer.$1.$kind"
    done
    if [ "$round" = 1 ]; then rm "$dir/writer.$1".*; fi
  done
}

# writer_figure NAME WHERE TARGET
writer_figure() {
  local with without
  with=$(median <"$dir/writer.$1.with")
  without=$(median <"$dir/writer.$1.without")
  figure "CPU of a session that writes, with / without the extension, $2" "$(calc "$with / $without" %.3f)" "<=" "$3" \
    "$rows transactions of one row, $with and $without s; each commit looks at a flag, and wakes capture if it sleeps"
}

part_writer() {
  local all last
  all=0-$(($(nproc) - 1))
  last=$(($(nproc) - 1))
  make_tenant w stream
  if [ "$last" -gt 0 ]; then
    writer_rounds own "$last" "0-$((last - 1))"
    writer_figure own "a processor to itself" 1.03
  fi
  writer_rounds shared "$all" "$all"
  writer_figure shared "processors shared with the workers and the search server" 1.03
  restart_postgres
  wait_synced
  drop_tenant w
}
