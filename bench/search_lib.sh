# Sourced by bench/search and bench/relevance after lib.sh: real texts, and what is asked about them.
demo=$bench/../demo

# Database bench, and the Debian package index in table package, one package once, in an order of no meaning.
make_database() {
  db=postgres sql -c 'CREATE DATABASE bench'
  sql -c 'CREATE EXTENSION pg_tenancy'
}

# read_packages: this machine's package index, with the long descriptions where they can be fetched
read_packages() {
  mkdir -p "$dir/lists/partial" "$dir/packages"
  local lists=/var/lib/apt/lists columns
  if timeout 120 apt-get -qq -o Dir::State::Lists="$dir/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o Acquire::Languages=en update >"$dir/apt.log" 2>&1 && compgen -G "$dir/lists/*_Packages*" >/dev/null; then
    lists=$dir/lists
  fi
  "$demo/packages" "$dir/packages" "$lists" >"$dir/columns"
  columns=$(sed -n 's/^case_studies=//p' "$dir/columns")
  sql -c 'CREATE TABLE package (id uuid, title text, customer_company text, industry text, company_size text, technologies jsonb,
    timeline_weeks int, budget_usd numeric, roi_percent numeric, full_text text, created_at timestamptz, updated_at timestamptz,
    n bigint GENERATED ALWAYS AS IDENTITY)'
  sort "$dir"/packages/*.case_studies | sql -c "COPY package ($columns) FROM STDIN"
  package_columns=$columns
  packages=$(sql -c 'SELECT count(*) FROM package')
  rm -rf "$dir/lists" "$dir/packages"
}

# fill_tenant NAME FIRST COUNT: packages from the FIRST-th on, going round
fill_tenant() {
  sql -c "INSERT INTO tenant_$1.case_studies ($package_columns) SELECT $package_columns FROM package
    WHERE (n - 1 - $2 + 2 * $packages) % $packages < $3"
}

# Waits until everything is in the index and found there.
settle() {
  wait_synced
  until [ "$(sql -c "SELECT count(*) FROM tenancy.search_index WHERE state <> 'ready' OR NOT filled")" = 0 ]; do sleep 0.2; done
  wait_synced
  curl -s -X POST "$url/_refresh" >/dev/null
  curl -s -X POST "$url/_forcemerge?max_num_segments=1" >/dev/null
  sql -c 'VACUUM ANALYZE'
}

# percentile P: of numbers on standard input
percentile() { sort -n | awk -v p="$1" '{v[NR] = $1} END {i = int(NR * p / 100 + 0.9999); print v[i < 1 ? 1 : i]}'; }
