# Who writes during a torture run, and what: scripts that follow from a seed alone, whatever the server does meanwhile.

package TenancyActors;

use strict;
use warnings;
use Exporter 'import';
use Digest::MD5 qw(md5_hex);
use POSIX ();
use Time::HiRes qw(sleep);

our @EXPORT = qw(start_actors stop_actors stir earned_sql steady_tenants setup_sql);

my $lib = __FILE__ =~ s{/[^/]*$}{}r;
# The last of them has no change of all rows at once, so that something stays cached.
my @steady = qw(t0 t1 t2);
my $calm = 't2';
my @passing = qw(x0 x1);
my $sweeping = qr/^(?:all|truncate|undone|lock)$/;
my %actors;

sub steady_tenants { return @steady }

# The tables.  Documents with a `strict` that is no number or more fields in `data` than the index takes are refused.
sub setup_sql
{
	my $mapping = '{"settings": {"index": {"number_of_shards": 1, "gc_deletes": "1h", "mapping.total_fields.limit": 40}},'
	  . ' "mappings": {"dynamic": false, "properties": {"strict": {"type": "integer"}, "data": {"type": "object", "dynamic": true}}}}';
	my $tenants = join ',', map { "'$_'" } @steady;
	return <<"SQL";
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('torture', 1, \$step\$
CREATE TABLE item (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, label text, body text, strict text, data jsonb);
ALTER TABLE item ALTER body SET STORAGE EXTERNAL;
CREATE TABLE pair (a int, b text, n int, PRIMARY KEY (a, b));
CREATE TABLE part (region text, id int, n int, body text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE part_one PARTITION OF part FOR VALUES IN ('r1');
CREATE TABLE part_two PARTITION OF part FOR VALUES IN ('r2');
CREATE TABLE part_rest PARTITION OF part DEFAULT;
CREATE TABLE seat (id int PRIMARY KEY, n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
\$step\$);
SELECT tenant_sync_table('torture', 'item', 'item', mapping => '$mapping', cache_keys => ARRAY['item:{id}'], cache_tags => '{items}');
SELECT tenant_sync_table('torture', t, t, mapping => '{"settings": {"index": {"number_of_shards": 1, "gc_deletes": "1h"}}, "mappings": {"dynamic": false}}')
	FROM unnest(ARRAY['pair', 'part', 'seat']) t;
SELECT tenant_create(n, 'torture') FROM unnest(ARRAY[$tenants]) n;
DO \$\$
DECLARE
	s text;
BEGIN
	FOREACH s IN ARRAY ARRAY[$tenants] LOOP
		EXECUTE format('SET LOCAL search_path = %I', 'tenant_' || s);
		INSERT INTO item SELECT g, g, 'label ' || g FROM generate_series(1, 300) g;
		INSERT INTO pair SELECT g % 20, 'b:' || g, g FROM generate_series(1, 100) g;
		INSERT INTO part SELECT 'r' || g % 3, g, g, 'body' FROM generate_series(1, 100) g;
		INSERT INTO seat SELECT g, g FROM generate_series(1, 50) g;
	END LOOP;
END \$\$;
SQL
}

# Whether the document of a row of item must be refused, as SQL over t.
sub earned_sql
{
	return q{(t.strict !~ '^[0-9]+$' OR (SELECT count(*) FROM jsonb_object_keys(t.data)) > 30)};
}

# A generator of one's own, from any text.
sub dice
{
	my ($seed) = @_;
	my $state = hex substr md5_hex($seed), 0, 8;
	# a whole number from 0 to below $n
	return sub {
		my ($n) = @_;
		$state = ($state * 1664525 + 1013904223) & 0xffffffff;
		return int(($state >> 8) * $n / 2**24);
	};
}

# stir(SEED, LIST): the list in another order.
sub stir
{
	my ($seed, @list) = @_;
	my $dice = dice($seed);
	for my $i (reverse 1 .. $#list)
	{
		my $j = $dice->($i + 1);
		@list[ $i, $j ] = @list[ $j, $i ];
	}
	return @list;
}

# One of a list.
sub any_of
{
	my ($dice, @list) = @_;
	return $list[ $dice->(scalar @list) ];
}

# Some rows of a table by id: 1 to 20 beside each other.
sub some
{
	my ($dice, $max) = @_;
	my $first = 1 + $dice->($max // 400);
	return "id BETWEEN $first AND " . ($first + $dice->(20));
}

# What can be done to the tables of a tenant in a transaction, by name; weights are in %weight.
my %change = (
	insert => sub { my ($d) = @_; my $a = $d->(400); "INSERT INTO item (id, n, label) SELECT g, $a, 'new ' || g FROM generate_series($a, " . ($a + $d->(30)) . ") g ON CONFLICT DO NOTHING" },
	upsert => sub { my ($d) = @_; my $a = $d->(400); "INSERT INTO item (id, n, label) SELECT g, $a, 'up ' || g FROM generate_series($a, " . ($a + $d->(10)) . ") g ON CONFLICT (id) DO UPDATE SET label = excluded.label, n = item.n + 1" },
	update => sub { my ($d) = @_; "UPDATE item SET n = " . $d->(100000) . " WHERE " . some($d) },
	label => sub { my ($d) = @_; "UPDATE item SET label = 'l " . $d->(100000) . "' WHERE " . some($d) },
	body => sub { my ($d) = @_; my $n = $d->(100000); "UPDATE item SET body = (SELECT string_agg(md5(($n + g)::text), '') FROM generate_series(1, " . (60 + $d->(120)) . ") g) WHERE " . some($d) },
	data => sub { my ($d) = @_; "UPDATE item SET data = '{\"a\": " . $d->(1000) . ", \"b\": [1, null]}' WHERE " . some($d) },
	delete => sub { my ($d) = @_; "DELETE FROM item WHERE " . some($d) },
	key => sub { my ($d) = @_; my $a = 1 + $d->(400); "UPDATE item SET id = id + 1000 WHERE id = $a; UPDATE item SET id = id - 1000 WHERE id = " . (1001 + $d->(400)) },
	swap => sub { my ($d) = @_; my $a = 1 + $d->(49); "UPDATE seat SET n = CASE id WHEN $a THEN (SELECT n FROM seat WHERE id = $a + 1) ELSE (SELECT n FROM seat WHERE id = $a) END WHERE id IN ($a, $a + 1) AND 2 = (SELECT count(*) FROM seat WHERE id IN ($a, $a + 1))" },
	seat => sub { my ($d) = @_; my $a = 51 + $d->(50); "DELETE FROM seat WHERE id = $a; INSERT INTO seat VALUES ($a, $a)" },
	pair => sub { my ($d) = @_; "INSERT INTO pair VALUES (" . $d->(20) . ", 'b:" . $d->(200) . "', " . $d->(1000) . ") ON CONFLICT (a, b) DO UPDATE SET n = excluded.n" },
	pair_key => sub { my ($d) = @_; "UPDATE pair SET b = b || ':', n = n + 1 WHERE a = " . $d->(20) . " AND length(b) < 9" },
	pair_gone => sub { my ($d) = @_; "DELETE FROM pair WHERE a = " . $d->(20) . " AND n % 3 = 0" },
	part => sub { my ($d) = @_; my $a = $d->(300); "INSERT INTO part SELECT 'r' || g % 5, g, $a FROM generate_series($a, " . ($a + $d->(20)) . ") g ON CONFLICT (region, id) DO UPDATE SET n = excluded.n" },
	move => sub { my ($d) = @_; "UPDATE part SET region = 'r" . $d->(4) . "' WHERE id = " . $d->(300) },
	part_gone => sub { my ($d) = @_; "DELETE FROM part WHERE " . some($d, 300) },
	undone => sub { my ($d) = @_; "SAVEPOINT a; DELETE FROM item; DELETE FROM pair; ROLLBACK TO a" },
	released => sub { my ($d) = @_; "SAVEPOINT b; UPDATE item SET n = n + 1 WHERE " . some($d) . "; SAVEPOINT c; DELETE FROM item WHERE " . some($d) . "; ROLLBACK TO c; RELEASE b" },
	caught => sub { my ($d) = @_; 'DO $$ BEGIN FOR i IN 1 .. 8 LOOP BEGIN UPDATE item SET n = n + i WHERE id = i * ' . (1 + $d->(40)) . '; IF i % 2 = 0 THEN RAISE EXCEPTION \'no\'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$' },
	copy => sub { my ($d) = @_; my $a = 2000 + 10 * $d->(50); "DELETE FROM item WHERE id BETWEEN $a AND $a + 9;\nCOPY item (id, n, label) FROM stdin;\n" . join('', map { $a + $_ . "\t$_\tcopied \\\\ \\t\n" } 0 .. 9) . "\\.\n" },
	refused => sub { my ($d) = @_; "UPDATE item SET strict = 'x" . $d->(100) . "' WHERE id = " . (1 + $d->(400)) },
	too_many => sub { my ($d) = @_; "UPDATE item SET data = (SELECT jsonb_object_agg('k' || g, g) FROM generate_series(1, 60) g) WHERE id = " . (1 + $d->(400)) },
	mended => sub { my ($d) = @_; "UPDATE item SET strict = '7', data = NULL WHERE " . earned_sql() =~ s/\bt\.//gr },
	truncate => sub { my ($d) = @_; 'TRUNCATE ' . any_of($d, 'pair', 'part', 'part_one', 'pair, part', 'item') . '; INSERT INTO pair VALUES (1, \'after\', ' . $d->(100) . ') ON CONFLICT DO NOTHING' },
	bulk => sub { my ($d) = @_; "INSERT INTO item (id, n) SELECT g, 1 FROM generate_series(10000, " . (10500 + $d->(1500)) . ") g ON CONFLICT (id) DO UPDATE SET n = item.n + 1" },
	bulk_gone => sub { my ($d) = @_; "DELETE FROM item WHERE id >= " . (10000 + $d->(1500)) },
	all => sub { my ($d) = @_; "UPDATE item SET n = n + 1" },
	wait => sub { my ($d) = @_; 'SELECT pg_sleep(0.' . $d->(6) . ')' },
	lock => sub { my ($d) = @_; 'LOCK TABLE ' . any_of($d, 'item', 'pair') . ' IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.2)' },
);
my %weight = ((map { $_ => 6 } keys %change), update => 12, label => 10, key => 10, move => 10, pair_key => 8, truncate => 1, bulk => 2,
	bulk_gone => 2, all => 1, lock => 1, refused => 3, too_many => 2, mended => 2, body => 5);
my @changes = map { ($_) x $weight{$_} } sort keys %change;

# The transactions of a writer's chunk number $n.
sub writer_script
{
	my ($seed, $n) = @_;
	my $dice = dice("$seed $n");
	my $script = "SET client_min_messages = error; SET deadlock_timeout = '100ms'; SET lock_timeout = '3s';\n";
	for my $i (1 .. 12)
	{
		my $tenant = any_of($dice, @steady, @steady, @passing);
		$script .= "BEGIN; SELECT tenant_use('$tenant');\n";
		for (0 .. $dice->(4))
		{
			$script .= "SELECT tenant_use('" . ($tenant = any_of($dice, @steady)) . "');\n" if $dice->(10) == 0;
			my $name = any_of($dice, @changes);
			my $change = $change{$name}->($dice);
			$script .= "$change;\n" unless $tenant eq $calm && $name =~ $sweeping;
		}
		my $end = $dice->(10);
		my $gid = "$seed $n $i";
		$script .= $end == 0 ? "ROLLBACK;\n"
		  : $end == 1 ? "PREPARE TRANSACTION '$gid';\nSELECT pg_sleep(0." . $dice->(5) . ");\n" . ($dice->(3) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid';\n"
		  : "COMMIT;\n";
		$script .= "SELECT pg_sleep(0.0" . $dice->(6) . ");\n";
	}
	return $script;
}

# What the one who changes tables and tenants does.
sub manager_script
{
	my ($seed, $n) = @_;
	my $dice = dice("$seed $n");
	my $script = "SET client_min_messages = error; SET lock_timeout = '3s';\n";
	for my $i (1 .. 4)
	{
		my ($steady, $passing) = (any_of($dice, grep { $_ ne $calm } @steady), any_of($dice, @passing));
		my $table = any_of($dice, qw(item pair part seat));
		my $column = 'c' . $dice->(4);
		$script .= any_of($dice,
			"SELECT tenant_create('$passing', 'torture');\nINSERT INTO tenant_$passing.item SELECT g, g FROM generate_series(1, 50) g;\n",
			"SELECT tenant_create('$passing', 'torture');\n",
			"SELECT tenant_drop('$passing', purge => true);\n",
			"SELECT tenant_drop('$passing', purge => true);\nSELECT tenant_create('$passing', 'torture');\n",
			"BEGIN; ALTER TABLE tenant_$steady.item ADD COLUMN $column int DEFAULT 5; UPDATE tenant_$steady.item SET $column = n; COMMIT;\n",
			"BEGIN; ALTER TABLE tenant_$steady.item DROP COLUMN $column; UPDATE tenant_$steady.item SET n = n; COMMIT;\n",
			"VACUUM FULL tenant_$steady.$table;\n",
			"SELECT tenancy.resync('$steady', '$table');\n",
			"SELECT tenancy.dead_letter_retry();\n",
			"CHECKPOINT;\n",
			"SELECT pg_switch_wal();\n",
			"REINDEX TABLE tenant_$steady.$table;\n",
		);
		$script .= "SELECT pg_sleep(0." . (3 + $dice->(7)) . ");\n";
	}
	return $script;
}

# Body of an actor's process: chunk after chunk until the stop file is there or the parent has gone.
sub act
{
	my ($kind, $seed, $base, $connstr, $parent) = @_;
	for (my $n = 0; !-e "$base.stop" && kill(0, $parent); $n++)
	{
		my $script = $kind eq 'manager' ? manager_script($seed, $n) : writer_script($seed, $n);
		open(my $psql, '|-', "exec psql -XAtq -d '$connstr' -f - >/dev/null 2>>'$base.errors'") or die "psql: $!";
		local $SIG{PIPE} = 'IGNORE';
		print $psql $script;
		close $psql ? append("$base.runs") : sleep 0.2;
	}
	return;
}

# One more byte in a file.
sub append
{
	my ($path) = @_;
	open(my $file, '>>', $path) or die "$path: $!";
	print $file '.';
	close $file;
	return;
}

# start_actors(CONNSTR, BASE, SEED, WRITERS): BASE is where their files are.
sub start_actors
{
	my ($connstr, $base, $seed, $writers) = @_;
	for my $who ('manager', 1 .. $writers)
	{
		my $kind = $who eq 'manager' ? 'manager' : 'writer';
		my @call = ($kind, "$seed $who", $base, $connstr, $$);
		my $pid = fork // die "fork: $!";
		if ($pid) { $actors{$base}{$pid} = 1; next }
		exec($^X, "-I$lib", '-MTenancyActors', '-e', 'TenancyActors::act(@ARGV)', @call) or POSIX::_exit(1);
	}
	return;
}

# Lets them end their chunks; returns how many chunks were done.
sub stop_actors
{
	my ($base) = @_;
	append("$base.stop");
	waitpid $_, 0 for keys %{ delete $actors{$base} // {} };
	return -s "$base.runs" // 0;
}

END
{
	my $status = $?;
	stop_actors($_) for keys %actors;
	$? = $status;
}

1;
