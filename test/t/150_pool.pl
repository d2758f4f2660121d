# The shipped PgBouncer configuration: many clients in a small pool never read a row of another tenant with tenant_use(), while SET
# search_path does.  bench/pool is the same with more of everything.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use File::Basename qw(dirname);
use TenancyTest;

need_servers('pgbouncer');
local %ENV = (%ENV, CLIENTS => 100, TENANTS => 20, TRANSACTIONS => 10000, SEED => 4000);
my ($out, $err) = run_command([ dirname(__FILE__) . '/../../bench/pool' ]);
diag($err) if $err ne '';
my %said = map { /^(.+?)\s+(\d+) transactions,\s+(\d+) rows of another tenant,\s+(\d+) of none/ ? ($1 => [ $2, $3, $4 ]) : () } split /\n/, $out;
is($said{'tenant_use()'}[0], 10000, 'tenant_use: all transactions ran');
is($said{'tenant_use()'}[1], 0, 'tenant_use: no row of another tenant');
is($said{'tenant_use()'}[2], 0, 'tenant_use: no row of no tenant');
is($said{'SET search_path'}[0], 4000, 'SET search_path: all transactions ran');
cmp_ok($said{'SET search_path'}[1], '>', 0, 'SET search_path: rows of other tenants');
SKIP:
{
	skip 'this PgBouncer does not track search_path', 2 unless $said{'SET search_path, tracked by PgBouncer'};
	is($said{'SET search_path, tracked by PgBouncer'}[1], 0, 'SET search_path, tracked: no row of another tenant');
	is($said{'SET search_path, tracked by PgBouncer'}[2], 0, 'SET search_path, tracked: no row of no tenant');
}
done_testing();
