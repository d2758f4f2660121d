# Sourced by search-install and search-start: the products, and where they are kept.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Root's downloads go where every user can read them; others use those, or have their own.
shared_cache=/var/cache/pg_tenancy
if [ -n "${PG_TENANCY_CACHE:-}" ]; then
  cache=$PG_TENANCY_CACHE
elif [ "$(id -u)" = 0 ]; then
  cache=$shared_cache
else
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/pg_tenancy
fi

# product NAME: sets name, kind, version, the Java it needs (jmin..jmax, 0: no upper end), and home
product() {
  case $1 in
    elasticsearch | elasticsearch7) name=elasticsearch7 kind=es7 version=7.17.15 jmin=11 jmax=17 ;;
    elasticsearch6) name=elasticsearch6 kind=es6 version=6.8.23 jmin=11 jmax=17 ;;
    elasticsearch9) name=elasticsearch9 kind=es9 version=9.4.3 jmin=21 jmax=0 ;;
    opensearch | opensearch3) name=opensearch3 kind=os version=3.4.0 jmin=21 jmax=0 ;;
    opensearch2) name=opensearch2 kind=os version=2.19.4 jmin=11 jmax=17 ;;
    *) die "unknown product '$1': elasticsearch[6|7|9] or opensearch[2|3]" ;;
  esac
  home=$cache/$name-$version
  if [ ! -e "$home/.complete" ] && [ -z "${PG_TENANCY_CACHE:-}" ] && [ -e "$shared_cache/$name-$version/.complete" ]; then
    home=$shared_cache/$name-$version
  fi
}

java_major() {
  "$1/bin/java" -version 2>&1 | sed -n 's/.* version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' | head -n 1
}

# Prints the home of a Java in jmin..jmax: of PG_TENANCY_JAVA_HOME, JAVA_HOME, the java on PATH, and those installed.
find_java() {
  local on_path="" c m
  if command -v java >/dev/null; then
    on_path=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
  fi
  for c in "${PG_TENANCY_JAVA_HOME:-}" "${JAVA_HOME:-}" "$on_path" ${on_path:+"${on_path%/*}"/*} /usr/lib/jvm/*; do
    [ -n "$c" ] && [ -x "$c/bin/java" ] || continue
    m=$(java_major "$c")
    [ -n "$m" ] && [ "$m" -ge "$jmin" ] && { [ "$jmax" = 0 ] || [ "$m" -le "$jmax" ]; } || continue
    echo "$c"
    return 0
  done
  die "$name $version needs Java $jmin$([ "$jmax" = 0 ] && echo " or later" || echo " to $jmax"); set PG_TENANCY_JAVA_HOME"
}
