# pg_tenancy: build with PGXS.  README.md says what the targets do.
EXTENSION = pg_tenancy
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" pg_tenancy.control)

# The install script is made of the parts below, in this order.
SQL_PARTS = \
	src/tenant/registry.sql src/sync/registry.sql src/percentile/percentile.sql src/percentile/sketch.sql \
	src/sync/mapping.sql src/sync/sync_table.sql src/sync/lifecycle.sql src/sync/lifecycle_work.sql src/sync/sync.sql src/sync/index_move.sql src/sync/monthly.sql src/sync/placement.sql src/sync/placement_kept.sql src/sync/control.sql src/verify/verify.sql \
	src/tenant/tenant.sql src/tenant/quota.sql src/tenant/migrate.sql src/tenant/blueprint_case_studies.sql \
	src/percentile/benchmark.sql src/search/search.sql src/search/suggest.sql src/search/case_studies.sql src/cache/cache.sql src/search/warm.sql \
	src/metrics/metrics.sql src/metrics/tenant_stat.sql src/worker/worker.sql
SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql

MODULE_big = $(EXTENSION)
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
DATA = $(SCRIPT) $(wildcard sql/$(EXTENSION)--*--*.sql)
PGFILEDESC = "pg_tenancy - multi-tenancy in the database"

PG_CPPFLAGS = -I$(srcdir)/src -DTENANCY_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wno-declaration-after-statement $(WARNINGS)
SHLIB_LINK = -lcurl -lhiredis -ljansson -lz
EXTRA_CLEAN = $(SCRIPT)

REGRESS = $(sort $(patsubst sql/test_%.sql,test_%,$(wildcard sql/test_*.sql)))
REGRESS_OPTS = --load-extension=pg_tenancy
ISOLATION = $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=test --load-extension=pg_tenancy

PG_CONFIG ?= pg_config
all: $(SCRIPT)
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(SCRIPT): $(SQL_PARTS) pg_tenancy.control
	{ printf '%s\n' '\echo Use "CREATE EXTENSION pg_tenancy" to load this file. \quit'; \
	  for part in $(SQL_PARTS); do printf "\n-- %s\n" $$part; cat $$part; done; } > $@

$(OBJS): $(sort $(wildcard src/*.h src/*/*.h))

include test/test.mk

# Performance claims: one command each.
.PHONY: bench-sync bench-fairness bench-search bench-relevance bench-percentile bench-pool bench-context bench-tenants
.PHONY: bench-cache bench-migrate
bench-cache: all
	bench/cache
	bench/cache_speed
bench-sync: all
	bench/sync
bench-fairness: all
	bench/fairness
bench-search: all
	bench/search
bench-relevance: all
	bench/relevance
bench-percentile: all
	bench/percentile
bench-pool: all
	bench/pool
bench-context: all
	bench/context
bench-tenants: all
	bench/tenants
bench-migrate: all
	bench/migrate
