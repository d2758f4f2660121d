# Included by Makefile: tests, checks and the demo.

# Everything, or one group or file: make test GROUP=tap FILES=test/t/000_comparer.pl
.PHONY: test check-style demo demo-stop
test:
	@[ "$$(id -u)" != 0 ] || test/servers/install-deps
	PG_CONFIG='$(PG_CONFIG)' test/run $(GROUP) $(FILES)

# The checks that need no server.
check-style: all
	@status=0; for check in $(filter-out %/catalog,$(wildcard .ci/checks/*)); do \
	  if PG_CONFIG='$(PG_CONFIG)' $$check; then echo "ok      $${check##*/}"; else echo "FAILED  $${check##*/}"; status=1; fi; \
	done; exit $$status

demo:
	PG_CONFIG='$(PG_CONFIG)' demo/run

demo-stop:
	demo/stop

# Rounds of faults under load: ROUNDS=20 SEED=... SECONDS=600
.PHONY: torture
torture:
	PG_CONFIG='$(PG_CONFIG)' test/torture
