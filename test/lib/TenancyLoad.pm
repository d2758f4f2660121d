# Writers that run while servers and workers die, and what must be true when they are done.

package TenancyLoad;

use strict;
use warnings;
use Exporter 'import';
use POSIX ();
use Time::HiRes qw(sleep time);
use Test::More ();
use PostgreSQL::Test::Utils ();
use TenancyCompare;
use TenancyTest;

our @EXPORT = qw(state_of all_agree fill_cache stale_keys start_load stop_load load_runs tenants_of);

my %writers;
my $count = 0;

# state_of(NODE, DATABASE, SINK): its state in tenancy.stat_sync.
sub state_of
{
	my ($node, $database, $sink) = @_;
	return $node->safe_psql($database, "SELECT state FROM tenancy.stat_sync WHERE sink = '$sink'");
}

# Names of the living tenants.
sub tenants_of
{
	my ($node, $database) = @_;
	return split /\n/, $node->safe_psql($database, "SELECT name FROM tenancy.tenant WHERE status = 'active' ORDER BY id");
}

# all_agree(NODE, DATABASE, SEARCH, NAME): two assertions: sync_wait says that all is in the sinks, and every indexed
# table of every tenant agrees with its index.  Returns the number of rows compared.
sub all_agree
{
	my ($node, $database, $search, $name, $seconds) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::ok(sync_wait($node, $database, $seconds // 120), "$name: everything is in the sinks")
	  or Test::More::diag($node->safe_psql($database, 'SELECT * FROM tenancy.stat_sync; SELECT * FROM tenancy.resync;'
		  . "SELECT * FROM tenancy.search_index WHERE state <> 'ready'; SELECT * FROM tenancy.dead_letter"));
	my ($rows, @bad) = (0);
	for my $line (split /\n/, $node->safe_psql($database, <<'SQL'))
SELECT t.name, s.table_name, s.index_type FROM tenancy.tenant t JOIN tenancy.sync_table s USING (blueprint)
WHERE t.status = 'active' AND s.index_type IS NOT NULL ORDER BY t.id, s.table_name
SQL
	{
		my ($tenant, $table, $type) = split /\|/, $line;
		my $found = eval { compare_index($node, $database, $tenant, $table, $search, $type) };
		$rows += $found->{checked} if $found;
		push @bad, "$tenant.$table: " . ($found ? TenancyCompare::summary($found) : $@)
		  if !$found || grep { @{ $found->{$_} } } qw(missing ghost stale);
	}
	Test::More::ok(!@bad, "$name: indices agree") or Test::More::diag(@bad);
	return $rows;
}

# What a cached row is filled with.
my $digest = "md5(to_jsonb(c)::text)";

# fill_cache(NODE, DATABASE, REDIS, TENANT): stores every case study under its cache key; returns how many.
sub fill_cache
{
	my ($node, $database, $redis, $tenant) = @_;
	my $n = 0;
	for (split /\n/, $node->safe_psql($database, qq{SELECT id, $digest FROM "tenant_$tenant".case_studies c}))
	{
		my ($id, $value) = split /\|/;
		redis_cmd($redis, 'SET', "tenant:$tenant:case_study:$id", $value);
		$n++;
	}
	return $n;
}

# stale_keys(NODE, DATABASE, REDIS, TENANT): in list context (number of stale keys, number of keys).
# A key is stale if its row is gone or is not what was stored.
sub stale_keys
{
	my ($node, $database, $redis, $tenant) = @_;
	my %row = map { split /\|/ } split /\n/,
	  $node->safe_psql($database, qq{SELECT id, $digest FROM "tenant_$tenant".case_studies c});
	my ($stale, $keys) = (0, 0);
	for my $key ($redis->keys("tenant:$tenant:case_study:*"))
	{
		my ($id) = $key =~ /([^:]+)$/;
		my $value = redis_cmd($redis, 'GET', $key);
		$keys++;
		$stale++ if ($row{$id} // '') ne $value;
	}
	return ($stale, $keys);
}

# One round of a writer: small transactions of every kind.  Only rows with an even timeline_weeks are changed.
sub load_script
{
	my (@tenants) = @_;
	my $script = "SET client_min_messages = error; SET deadlock_timeout = '100ms'; SET lock_timeout = '5s';\n";
	for my $round (1 .. 12)
	{
		my $tenant = $tenants[ $round % @tenants ];
		my $some = "(SELECT id FROM case_studies WHERE timeline_weeks % 2 = 0 ORDER BY random() LIMIT";
		$script .= "SELECT pg_sleep(0.02);\nBEGIN; SELECT tenant_use('$tenant');\n";
		$script .= (
			"INSERT INTO case_studies (title, timeline_weeks, full_text) SELECT 'new ' || random(), 2 * n, repeat(random() || ' ', 20) FROM generate_series(1, 4) n;",
			"UPDATE case_studies SET title = 'changed ' || random(), updated_at = clock_timestamp() WHERE id IN $some 4);",
			"DELETE FROM case_studies WHERE id IN $some 2);",
			"UPDATE technologies SET query_count = query_count + 1 WHERE id IN (SELECT id FROM technologies ORDER BY random() LIMIT 3); SAVEPOINT a; DELETE FROM technologies WHERE id = (SELECT id FROM technologies LIMIT 1 FOR UPDATE SKIP LOCKED); ROLLBACK TO a; INSERT INTO technologies (name) VALUES ('t ' || random());",
			"UPDATE case_studies SET id = gen_random_uuid() WHERE id IN $some 1); UPDATE case_studies SET timeline_weeks = timeline_weeks + 2 WHERE id IN $some 3);",
			"DELETE FROM case_studies WHERE timeline_weeks % 2 = 0; INSERT INTO technologies (name) VALUES ('never');"
		)[ $round % 6 ];
		$script .= ($round % 6 == 5 ? 'ROLLBACK' : 'COMMIT') . ";\n";
	}
	return $script;
}

# start_load(NODE, DATABASE, tenants => [...], writers => N, script => what psql runs again and again): each writer goes on, whatever the server does, until stop_load or the
# end of the test, even one by a signal.
sub start_load
{
	my ($node, $database, %option) = @_;
	my $base = sprintf '%s/load_%d_%d', $PostgreSQL::Test::Utils::tmp_check, $$, ++$count;
	my @tenants = @{ $option{tenants} // [ tenants_of($node, $database) ] };
	open(my $file, '>', "$base.sql") or die "$base.sql: $!";
	print $file $option{script} // load_script(@tenants);
	close $file;
	for (1 .. $option{writers} // 2)
	{
		my $pid = fork // die "fork: $!";
		if ($pid)
		{
			$writers{$pid} = $base;
			next;
		}
		exec('sh', '-c', 'while [ ! -e "$0.stop" ] && kill -0 "$2"; do psql -XAtq -d "$1" -f "$0.sql" >/dev/null 2>&1 && echo >>"$0.runs" || sleep 0.1; done',
			$base, $node->connstr($database), getppid())
		  or POSIX::_exit(1);
	}
	return $base;
}

# Rounds that the writers have done.
sub load_runs
{
	my ($base) = @_;
	return -s "$base.runs" // 0;
}

# Ends the writers and returns how many rounds they did.
sub stop_load
{
	my ($base) = @_;
	open(my $file, '>', "$base.stop") or die "$base.stop: $!";
	close $file;
	for my $pid (grep { $writers{$_} eq $base } keys %writers)
	{
		waitpid $pid, 0;
		delete $writers{$pid};
	}
	return load_runs($base);
}

END
{
	my $status = $?;
	my %bases = reverse %writers;
	stop_load($_) for keys %bases;
	$? = $status;
}

1;
