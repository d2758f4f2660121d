# Commands that meet an open transaction, each other or a dying worker: no row is lost and no document is left over.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7', 'redis');
my $search = TenancySearch->start('elasticsearch7');
my $redis = TenancyRedis->start;
my $node = tenancy_node('races', search => $search, redis => $redis);
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }
sub blocked { return sql("SELECT table_name FROM tenancy.resync WHERE phase = 'blocked' AND last_error <> '' AND sink = 'search' ORDER BY 1") }
sub resyncs { return sql('SELECT count(*) FROM tenancy.resync') }

my @workers = ('pg_tenancy capture', 'pg_tenancy search sink', 'pg_tenancy cache sink');

# Pids of a database's workers of a kind.
sub workers_of
{
	my ($database, $type) = @_;
	return split /\n/, sql("SELECT pid FROM pg_stat_activity WHERE backend_type = '$type' AND datname = '$database'");
}

# Waits until a database's capture and its sinks are there, each once.
sub is_whole
{
	my ($database) = @_;
	return wait_until(sub { !grep { scalar(() = workers_of($database, $_)) != 1 } @workers }, 60);
}

# A session in which a transaction stays open.
sub open_session
{
	my ($database, $statements) = @_;
	my $session = $node->background_psql($database);
	$session->query_safe($statements);
	return $session;
}

sub close_session
{
	my ($session, $statements) = @_;
	$session->query_safe($statements);
	$session->quit;
	return;
}

# Slot creation that is interrupted while it waits for a transaction.
$node->safe_psql('postgres', 'CREATE DATABASE half');
my $holder = open_session('half', 'BEGIN; SELECT pg_current_xact_id()');
$node->safe_psql('half', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_create('h');
INSERT INTO tenant_h.case_studies (title) SELECT 'early ' || n FROM generate_series(1, 100) n;
SQL
for my $round (1 .. 2)
{
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_tenancy capture' AND wait_event = 'transactionid'}),
		"half-made slot, $round: slot creation waits");
	my ($pid) = workers_of('half', 'pg_tenancy capture');
	is(sql("SELECT pg_terminate_backend($pid)"), 't', "half-made slot, $round: capture terminated");
	$node->safe_psql('half', "INSERT INTO tenant_h.case_studies (title) SELECT 'round $round ' || n FROM generate_series(1, 100) n; UPDATE tenant_h.case_studies SET industry = 'round $round' WHERE title LIKE 'early 1%'");
	ok(wait_until(sub { !grep { $_ eq $pid } workers_of('half', 'pg_tenancy capture') }, 60), "half-made slot, $round: capture is gone");
}
close_session($holder, q{INSERT INTO tenant_h.case_studies (title) VALUES ('of the holder'); COMMIT});
$node->safe_psql('half', q{UPDATE tenant_h.case_studies SET industry = 'late' WHERE title LIKE 'round 1 1%'});
is(all_agree($node, 'half', $search, 'half-made slot'), 301, 'half-made slot: every row was looked at');
is(sql('SELECT count(*), count(confirmed_flush_lsn), bool_and(active) FROM pg_replication_slots'), '1|1|t', 'half-made slot: one slot, made whole');

# DROP EXTENSION and CREATE EXTENSION at once, while rows flow.
$node->safe_psql('postgres', 'CREATE DATABASE again');
$node->safe_psql('again', q{CREATE EXTENSION pg_tenancy; SELECT tenant_create('r0')});
my $load = start_load($node, 'again', tenants => [ map { "r$_" } 0 .. 4 ]);
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'again: rows flow');
for my $round (1 .. 4)
{
	my $statements = "SET client_min_messages = error;\n"
	  . "DROP EXTENSION pg_tenancy CASCADE;\nCREATE EXTENSION pg_tenancy;\n" x 3
	  . "SELECT tenant_create('r$round');\nINSERT INTO tenant_r$round.case_studies (title, timeline_weeks) SELECT 'r ' || n, n FROM generate_series(1, 200) n;\n";
	my $errors;
	# rows that flow may be a deadlock's other side
	ok(wait_until(sub {
		my $status = $node->psql('again', "DROP SCHEMA IF EXISTS tenant_r$round CASCADE;\n$statements", on_error_stop => 1, stderr => \$errors);
		$status == 0;
	}, 120), "again, $round: dropped and made three times") or diag($errors);
	my $runs = load_runs($load);
	ok(wait_until(sub { load_runs($load) >= $runs + 1 }, 60), "again, $round: rows flow on");
}
stop_load($load);
is(sql(q{SELECT 1}), 1, 'again: the server is there');
is(all_agree($node, 'again', $search, 'again') >= 100 ? 'many' : 'few', 'many', 'again: rows were looked at');
ok(is_whole('again'), 'again: each worker is there once');
is(sql(q{SELECT count(*), count(confirmed_flush_lsn), bool_and(active) FROM pg_replication_slots WHERE database = 'again'}), '1|1|t', 'again: one slot, and it is read');
is(state_of($node, 'again', 'capture'), 'running', 'again: capture runs');
$node->safe_psql('again', q{UPDATE tenant_r4.case_studies SET title = title || '.'});
all_agree($node, 'again', $search, 'again, later');

# What the rest works on.
sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id bigint PRIMARY KEY, n int);
CREATE TABLE late (id bigint PRIMARY KEY, n int);
CREATE TABLE later (id bigint PRIMARY KEY, n int);
CREATE TABLE never (id bigint PRIMARY KEY, n int);
CREATE TABLE renamed (id bigint PRIMARY KEY, n int);
CREATE TABLE pair (a int, b text, n int, PRIMARY KEY (a, b));
CREATE TABLE keyless (id bigint PRIMARY KEY, n int);
CREATE TABLE mute (id bigint PRIMARY KEY, n int);
ALTER TABLE mute REPLICA IDENTITY NOTHING;
$$);
SELECT tenant_sync_table('shop', t, t, mapping => '{"mappings": {"dynamic": false}}', cache_tags => ARRAY[t])
	FROM unnest(ARRAY['item', 'renamed', 'pair', 'keyless', 'mute']) t;
SELECT tenant_create('one', 'shop');
SELECT tenant_create('two', 'shop');
SELECT tenant_create('acme');
SQL
agrees('start');

# A table that becomes synced while a transaction is open that has written to it, and will again.
my $writer = open_session('postgres', 'BEGIN; INSERT INTO tenant_one.late SELECT n, 1 FROM generate_series(1, 10) n');
my $reader = open_session('postgres', 'BEGIN; SELECT pg_current_xact_id()');
sql(q{INSERT INTO tenant_one.late SELECT n, 2 FROM generate_series(101, 110) n});
sql(q{SELECT tenant_sync_table('shop', 'late', 'late', mapping => '{"mappings": {"dynamic": false}}')});
sql(q{INSERT INTO tenant_one.late SELECT n, 3 FROM generate_series(201, 210) n});
$writer->query_safe('INSERT INTO tenant_one.late SELECT n, 4 FROM generate_series(11, 20) n; UPDATE tenant_one.late SET n = 5 WHERE id IN (1, 101)');
$reader->query_safe('INSERT INTO tenant_two.late SELECT n, 6 FROM generate_series(1, 10) n');
close_session($writer, 'COMMIT');
sql(q{INSERT INTO tenant_one.late SELECT n, 7 FROM generate_series(301, 310) n}, q{INSERT INTO tenant_two.late SELECT n, 7 FROM generate_series(301, 310) n});
close_session($reader, 'INSERT INTO tenant_two.late SELECT n, 8 FROM generate_series(11, 20) n; COMMIT');
sql(q{INSERT INTO tenant_one.late SELECT n, 9 FROM generate_series(401, 410) n}, q{UPDATE tenant_two.late SET n = 9 WHERE id IN (1, 11, 301)});
agrees('synced amid a transaction');
index_agrees($node, 'postgres', $_, 'late', $search, 'late', "synced amid a transaction: $_") for qw(one two);
is($search->count('late_tenant_one'), 60, 'synced amid a transaction: every row of one');
is($search->count('late_tenant_two'), 30, 'synced amid a transaction: every row of two');

# The same the other way round: no longer synced, then synced again.
$writer = open_session('postgres', 'BEGIN; INSERT INTO tenant_one.late SELECT n, 1 FROM generate_series(501, 510) n');
sql(q{SELECT tenant_unsync_table('shop', 'late')});
$writer->query_safe('INSERT INTO tenant_one.late SELECT n, 1 FROM generate_series(511, 520) n');
sql(q{SELECT tenant_sync_table('shop', 'late', 'late', mapping => '{"mappings": {"dynamic": false}}')});
close_session($writer, 'INSERT INTO tenant_one.late SELECT n, 1 FROM generate_series(521, 530) n; COMMIT');
agrees('unsynced and synced amid a transaction');
is($search->count('late_tenant_one'), 90, 'unsynced and synced amid a transaction: every row');

# tenant_sync_table that is not committed holds nobody up.
my $undecided = open_session('postgres', q{BEGIN; SELECT tenant_sync_table('shop', t, t, mapping => '{"mappings": {"dynamic": false}}') FROM unnest(ARRAY['later', 'never']) t; SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"mappings": {"dynamic": false}}')});
sql('INSERT INTO tenant_one.item SELECT n, 1 FROM generate_series(1, 500) n', 'INSERT INTO tenant_one.pair SELECT n, n, 1 FROM generate_series(1, 100) n', 'INSERT INTO tenant_one.later VALUES (1, 1)');
sql(q{INSERT INTO tenant_acme.case_studies (title) SELECT n::text FROM generate_series(1, 300) n});
agrees('undecided');
sql('UPDATE tenant_one.item SET n = 2', 'DELETE FROM tenant_one.pair WHERE a < 50', 'TRUNCATE tenant_acme.case_studies', q{INSERT INTO tenant_acme.case_studies (title) VALUES ('kept')});
agrees('undecided, again');
is($search->count('case_studies_tenant_acme'), 1, 'undecided: TRUNCATE of another table arrives');
close_session($undecided, 'ROLLBACK');
$undecided = open_session('postgres', q{BEGIN; SELECT tenant_sync_table('shop', 'later', 'later', mapping => '{"mappings": {"dynamic": false}}')});
sql('INSERT INTO tenant_one.later VALUES (2, 2)', 'INSERT INTO tenant_one.item VALUES (1000, 1)');
agrees('undecided once more');
close_session($undecided, 'INSERT INTO tenant_one.later VALUES (3, 3); COMMIT');
agrees('decided');
is($search->count('later_tenant_one'), 3, 'decided: rows from before, amid and within are there');

# The key is renamed, and all rows change in the same transaction.
sql(q{INSERT INTO tenant_one.renamed SELECT n, 0 FROM generate_series(1, 1000) n}, q{INSERT INTO tenant_one.pair SELECT n, n, 1 FROM generate_series(1001, 1100) n});
agrees('before the key is renamed');
sql('BEGIN', 'ALTER TABLE tenant_one.renamed RENAME COLUMN id TO id2', 'UPDATE tenant_one.renamed SET n = id2 + 7', 'COMMIT');
sql('BEGIN', 'UPDATE tenant_one.pair SET n = 2 WHERE a < 1050', 'ALTER TABLE tenant_one.pair RENAME COLUMN a TO "A b"', 'UPDATE tenant_one.pair SET n = n + 2', 'DELETE FROM tenant_one.pair WHERE "A b" > 1090', 'COMMIT');
agrees('key renamed');
is_deeply($search->document('renamed_tenant_one', 500), { id2 => 500, n => 507 }, 'key renamed: the document has the new name and value');
is_deeply($search->document('pair_tenant_one', '1001:1001'), { 'A b' => 1001, b => '1001', n => 4 }, 'key renamed: one of two columns');
sql('ALTER TABLE tenant_one.renamed RENAME COLUMN id2 TO id3; UPDATE tenant_one.renamed SET n = 1 WHERE id3 <= 500; ALTER TABLE tenant_one.renamed RENAME COLUMN id3 TO id; UPDATE tenant_one.renamed SET n = 2');
agrees('key renamed twice');

# A table whose only index goes down is not synced, and says so.
sql(<<'SQL');
SELECT tenant_blueprint_add('steep', 1, $$CREATE TABLE down (id bigint NOT NULL, n int); CREATE UNIQUE INDEX down_id ON down (id DESC)$$);
SELECT tenant_sync_table('steep', 'down', 'down', mapping => '{"mappings": {"dynamic": false}}', key_columns => '{id}');
SELECT tenant_create('steep', 'steep');
INSERT INTO tenant_steep.down SELECT n, n FROM generate_series(1, 6000) n;
SQL
sql('INSERT INTO tenant_one.item SELECT n, 1 FROM generate_series(2001, 2500) n');
ok(wait_until(sub { blocked() eq 'down' }, 60), 'DESC: reported') or diag(sql('TABLE tenancy.resync'));
ok(wait_until(sub { $search->count('item_tenant_one') == 1001 }, 60), 'DESC: other tables go on');
sql('INSERT INTO tenant_steep.down SELECT n, n FROM generate_series(6001, 12000) n', 'UPDATE tenant_one.item SET n = 3 WHERE id < 100');
ok(wait_until(sub { ($search->document('item_tenant_one', 5) // {})->{n} == 3 }, 60), 'DESC: still');
sql('ALTER TABLE tenant_steep.down ADD PRIMARY KEY (id)');
ok(wait_until(sub { resyncs() == 0 }, 120), 'DESC: a normal key lets it go on') or diag(sql('TABLE tenancy.resync'));
agrees('DESC');
is($search->count('down_tenant_steep'), 12000, 'DESC: every row is there');

# A key that goes and comes back; nothing is written afterwards.
sql('INSERT INTO tenant_one.keyless SELECT n, n FROM generate_series(1, 1000) n');
agrees('keyless');
sql('ALTER TABLE tenant_one.keyless DROP CONSTRAINT keyless_pkey', 'INSERT INTO tenant_one.keyless SELECT n, n FROM generate_series(1001, 2000) n',
	'UPDATE tenant_one.keyless SET n = -n WHERE id <= 100', 'DELETE FROM tenant_one.keyless WHERE id BETWEEN 200 AND 299');
ok(wait_until(sub { blocked() eq 'keyless' }, 60), 'keyless: reported') or diag(sql('TABLE tenancy.resync'));
sql('INSERT INTO tenant_one.item SELECT n, 1 FROM generate_series(3001, 3100) n');
ok(wait_until(sub { $search->count('item_tenant_one') == 1101 }, 60), 'keyless: other tables go on');
sql('ALTER TABLE tenant_one.keyless ADD PRIMARY KEY (id)');
ok(wait_until(sub { resyncs() == 0 }, 120), 'keyless: healed without a write') or diag(sql('TABLE tenancy.resync'));
agrees('keyless, healed');
is($search->count('keyless_tenant_one'), 1900, 'keyless: every row is there, and no other');

# No old key in the WAL: the table is looked at again.
sql('INSERT INTO tenant_one.mute SELECT n, n FROM generate_series(1, 1000) n');
agrees('mute');
sql('DELETE FROM tenant_one.mute WHERE id <= 300', 'UPDATE tenant_one.mute SET id = id + 5000 WHERE id > 900', 'UPDATE tenant_one.mute SET n = 0 WHERE id BETWEEN 400 AND 500');
agrees('mute, changed');
is($search->count('mute_tenant_one'), 700, 'mute: documents of deleted rows are gone');

# TRUNCATE, and again before the first is done.
sub rows { my ($from, $to) = @_; return "INSERT INTO tenant_one.item SELECT n, n FROM generate_series($from, $to) n" }
sql('TRUNCATE tenant_one.item', rows(1, 3000));
agrees('before TRUNCATE');
sql('TRUNCATE tenant_one.item');
sql(rows(1001, 4000));
sql('TRUNCATE tenant_one.item');
sql(rows(2001, 5000));
agrees('TRUNCATE twice');
is($search->count('item_tenant_one'), 3000, 'TRUNCATE twice: the last rows are there');
sql('BEGIN', rows(10001, 13000), 'TRUNCATE tenant_one.item', rows(12001, 15000), 'COMMIT');
agrees('TRUNCATE between');
is($search->count('item_tenant_one'), 3000, 'TRUNCATE between: the last rows are there');
for my $round (1 .. 5)
{
	sql('TRUNCATE tenant_one.item', rows(100 * $round, 100 * $round + 2999));
	sql('TRUNCATE tenant_one.item, tenant_one.pair');
	sql(rows(200 * $round, 200 * $round + 2999));
}
agrees('TRUNCATE many times');

# A lock that follows TRUNCATE at once, and goes while the search server is being asked for its documents.
for my $round (1 .. 2)
{
	sql('TRUNCATE tenant_one.item', rows(1, 300));
	agrees("TRUNCATE and a lock, $round, before");
	my $truncater = open_session('postgres', 'BEGIN; TRUNCATE tenant_one.item');
	my $locker = $node->background_psql('postgres');
	$locker->query_until(qr/waiting/, "\\echo waiting\nBEGIN; LOCK TABLE tenant_one.item IN ACCESS EXCLUSIVE MODE;\n\\echo locked\n");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted}), "TRUNCATE and a lock, $round: it waits");
	$search->halt if $round == 2;
	close_session($truncater, 'COMMIT');
	$locker->query_until(qr/locked/, '');
	ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.resync WHERE sink = 'search' AND phase = 'ghosts'}) }, 60), "TRUNCATE and a lock, $round: documents are to be looked at");
	# whether the search sink asks already is its own affair
	wait_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_tenancy search sink' AND datname = 'postgres' AND query LIKE '%documents without a row%'}) }, 3);
	close_session($locker, 'COMMIT');
	$search->cont if $round == 2;
	agrees("TRUNCATE and a lock, $round");
	is($search->count('item_tenant_one'), 0, "TRUNCATE and a lock, $round: no document is left");
	is(blocked(), '', "TRUNCATE and a lock, $round: no table counts as one without a key");
}

# Everything is sent again while writers run and the search server dies.
sql(q{INSERT INTO tenant_acme.case_studies (title, timeline_weeks) SELECT 'row ' || n, n FROM generate_series(1, 20000) n});
agrees('before the resync');
$load = start_load($node, 'postgres', tenants => ['acme']);
ok(wait_until(sub { load_runs($load) >= 1 }, 60), 'resync: writers run');
cmp_ok(sql('SELECT tenancy.resync()'), '>', 10, 'resync: asked for');
$search->kill9;
ok(wait_until(sub { state_of($node, 'postgres', 'search') eq 'unreachable' }, 60), 'resync: the search server is away');
cmp_ok(resyncs(), '>', 0, 'resync: it is in the middle');
sql('SELECT tenancy.resync()');
$search->start;
my $runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 120), 'resync: writers run on');
stop_load($load);
ok(wait_until(sub { resyncs() == 0 }, 240), 'resync: done') or diag(sql('TABLE tenancy.resync'));
agrees('resync while the server dies', 240);
is(resyncs(), 0, 'resync: nothing is left');

# Documents that no row ever had.
my %ghosts = (case_studies_tenant_acme => [ '00000000-0000-4000-8000-000000000000', 'no uuid', 'a:b', 'x\\y', '%2F/é' ],
	item_tenant_one => [ 'word', '99999999999999999999999', '-1', '1:2', '007' ], pair_tenant_one => [ 'one', '1:2:3', 'x:y', '77:77', ':' ]);
sql('INSERT INTO tenant_one.pair SELECT n, n, 1 FROM generate_series(1, 20) n');
agrees('before the ghosts');
for my $alias (sort keys %ghosts)
{
	for my $id (@{ $ghosts{$alias} })
	{
		(my $escaped = $id) =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
		is(($search->raw('PUT', "/$alias/_doc/$escaped", { title => 'ghost' }))[0], 201, "ghost $id in $alias");
	}
}
sql('SELECT tenancy.resync()');
agrees('ghosts', 120);
is(resyncs(), 0, 'ghosts: nothing is left');
for my $alias (sort keys %ghosts)
{
	is($search->document($alias, $_), undef, "ghost $_ in $alias is gone") for @{ $ghosts{$alias} };
	$search->raw('POST', "/$alias/_delete_by_query?refresh=true", { query => { ids => { values => $ghosts{$alias} } } });
}

# A key that gets more columns, and fewer: documents under the old ids go.
sql('CREATE TABLE tenant_one.shape (id bigint PRIMARY KEY, b text NOT NULL, n int)', q{INSERT INTO tenant_one.shape SELECT n, 'b:' || n, 1 FROM generate_series(1, 200) n},
	q{SELECT tenant_sync_table('shop', 'shape', 'shape', mapping => '{"mappings": {"dynamic": false}}')});
index_agrees($node, 'postgres', 'one', 'shape', $search, 'shape', 'key of one column') if ok(sync_wait($node, 'postgres', 60), 'key of one column is in');
for my $key ('id, b', 'b', 'b, id, n', 'id')
{
	sql('BEGIN', "ALTER TABLE tenant_one.shape DROP CONSTRAINT shape_pkey, ADD PRIMARY KEY ($key)", 'UPDATE tenant_one.shape SET n = n + 1', 'DELETE FROM tenant_one.shape WHERE id = (SELECT max(id) FROM tenant_one.shape)', 'COMMIT');
	sql(q{SELECT tenancy.resync('one', 'shape')});
	ok(sync_wait($node, 'postgres', 60), "key of $key is in");
	index_agrees($node, 'postgres', 'one', 'shape', $search, 'shape', "key of $key");
}
sql(q{SELECT tenant_unsync_table('shop', 'shape')});

# The launcher ends: its successor takes the workers over.
for my $round (1 .. 2)
{
	my %before = map { $_ => [ workers_of('postgres', $_) ] } @workers;
	my ($launcher) = worker_pids($node, 'pg_tenancy launcher');
	sql("SELECT pg_terminate_backend($launcher)");
	my @now;
	ok(wait_until(sub { @now = worker_pids($node, 'pg_tenancy launcher'); @now == 1 && $now[0] ne $launcher }, 60), "launcher, $round: another one");
	sql("UPDATE tenant_one.item SET n = $round", "INSERT INTO tenant_acme.technologies (name) VALUES ('launcher $round')");
	agrees("launcher, $round");
	ok(is_whole($_), "launcher, $round: each worker of $_ is there once") for qw(postgres half again);
	is_deeply({ map { $_ => [ workers_of('postgres', $_) ] } @workers }, \%before, "launcher, $round: the same ones");
	my ($pid) = workers_of('postgres', $workers[$round]);
	sql("SELECT pg_terminate_backend($pid)");
	ok(wait_until(sub { my @new = workers_of('postgres', $workers[$round]); @new == 1 && $new[0] ne $pid }, 60), "launcher, $round: the new one starts workers again");
	sql("UPDATE tenant_one.item SET n = n + 1 WHERE id < 3000");
	agrees("launcher, $round, later");
}
ok(is_whole($_), "the end: each worker of $_ is there once") for qw(postgres half again);
is(sql('SELECT count(*), count(confirmed_flush_lsn), count(DISTINCT database) FROM pg_replication_slots'), '3|3|3', 'the end: one slot a database');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'nothing was refused');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|exited with exit code [2-9]/, 'no worker died');
done_testing();
