# Hostile messages, settings and types, and a server that is set up badly: the workers stay, and other tables go on.

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
my $node = tenancy_node('hostile', search => $search, redis => $redis);
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }
sub synced { return sync_wait($node, 'postgres', 60) }
sub pids { return sql(q{SELECT string_agg(backend_type || ' ' || pid, ', ' ORDER BY backend_type) FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy%'}) }
sub letters { return sql('SELECT count(*) FROM tenancy.dead_letter') }

# True if the server knows a list of allowed output plugins.
sub has_list { return sql(q{SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'}) }

# All documents behind an alias as they are stored.
sub documents
{
	my ($alias) = @_;
	$search->refresh($alias);
	my ($status, $reply) = $search->request('POST', "/$alias/_search", { size => 1000, sort => ['_doc'] });
	return { map { $_->{_id} => $_->{_source} } @{ $reply->{hits}{hits} } };
}

# Ends every worker of the database and waits for the next ones.
sub restart_workers
{
	my $before = pids();
	sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'pg_tenancy %' AND backend_type NOT LIKE '%launcher'});
	my %old = map { $_ => 1 } $before =~ /(\d+)/g;
	return wait_until(sub { my @new = grep { !$old{$_} } pids() =~ /(\d+)/g; @new == 3 }, 60);
}

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n int);
CREATE TABLE word (word text PRIMARY KEY, n int);
CREATE TABLE pair (a int, b text, n int, PRIMARY KEY (a, b));
CREATE TABLE wide (id bigint PRIMARY KEY, f4 real, f8 double precision, num numeric, d date, ts timestamp, tz timestamptz, clock time with time zone,
	i interval, b bytea, list text[], stamps timestamptz[], spans interval[], j jsonb, x xml, m money, r tstzrange, p point, v int4range[]);
CREATE TABLE stamped (at timestamptz, span interval, day date, amount float8, n int, PRIMARY KEY (at, span, day, amount));
CREATE TABLE plain (id bigint PRIMARY KEY, at timestamptz, n int);
$$);
SELECT tenant_sync_table('shop', t, t, mapping => '{"mappings": {"dynamic": false}}', cache_tags => ARRAY[t])
	FROM unnest(ARRAY['item', 'word', 'pair', 'wide', 'stamped', 'plain']) t;
SELECT tenant_create('one', 'shop');
SELECT tenant_create('two', 'shop');
INSERT INTO tenant_one.item (n) SELECT n FROM generate_series(1, 200) n;
INSERT INTO tenant_one.word SELECT 'word ' || n, n FROM generate_series(1, 200) n;
INSERT INTO tenant_one.pair SELECT n, n, n FROM generate_series(1, 200) n;
INSERT INTO tenant_one.wide SELECT n, n / 3.0, n / 7.0, n / 8.0, date '2026-01-02' + n, timestamp '2026-01-02 03:04:05.678' + n * interval '25 hours', timestamptz '2026-01-02 03:04:05.678+05' + n * interval '25 hours',
	'12:34:56+03', n * interval '1 month 2 days 03:04:05', decode('00ff5c', 'hex'), ARRAY['a\b', NULL], ARRAY[timestamptz '2026-03-04 05:06:07+08', NULL], ARRAY[interval '-1 year 2 days'], '{"a": [1.50, null]}',
	'<a b="c">d</a>', n * 1.5, tstzrange('2026-01-01 00:00+03', NULL), point(n / 3.0, 1), ARRAY[int4range(1, n + 1)] FROM generate_series(1, 40) n;
INSERT INTO tenant_one.stamped SELECT timestamptz '2026-03-04 05:06:07+08' + n * interval '13 hours', n * interval '-1 day 2 hours', date '2026-01-02' + n, n / 3.0::float8, n FROM generate_series(1, 40) n;
INSERT INTO tenant_one.plain SELECT n, timestamptz '2026-03-04 05:06:07+08' + n * interval '1 hour', n FROM generate_series(1, 100) n;
INSERT INTO tenant_two.plain SELECT n, now(), n FROM generate_series(1, 100) n;
CREATE ROLE nobody LOGIN;
SQL
agrees('start');

# Messages that anybody may write.
my $before = pids();
my %oid = map { $_ => sql("SELECT 'tenant_one.$_'::regclass::oid") } qw(item word pair plain);
sub oid_bytes { my ($oid) = @_; return unpack('H*', pack('L', $oid)) }
sub hex_of { my ($text) = @_; return unpack('H*', $text) }
my $uuid = sql('SELECT id FROM tenant_one.item LIMIT 1');
my @messages = (
	'', '00', '4b', '4b00', '54', '5400', '58' . hex_of('what') . '00', hex_of('Kab'), 'ff' x 50, '00' x 50,
	'4b' . oid_bytes($oid{item}),
	'4b' . oid_bytes($oid{item}) . '00',
	'4b' . oid_bytes($oid{item}) . hex_of($uuid),
	'4b' . oid_bytes($oid{item}) . hex_of($uuid) . '00',
	'4b' . oid_bytes($oid{item}) . hex_of('no uuid') . '00',
	'4b' . oid_bytes($oid{item}) . hex_of("$uuid\0more") . '00',
	'4b' . oid_bytes($oid{item}) . ('6100' x 100),
	'4b' . oid_bytes($oid{pair}) . hex_of('1') . '00',
	'4b' . oid_bytes($oid{pair}) . hex_of("x\0y") . '00',
	'4b' . oid_bytes($oid{pair}) . hex_of("1\0") . '0000',
	'4b' . oid_bytes($oid{pair}) . ('6100' x 2000),
	map({ ('4b' . oid_bytes($oid{$_}) . ('61' x 9600) . '00', '4b' . oid_bytes($oid{$_}) . ('61' x 8000) . '00', '4b' . oid_bytes($oid{$_}) . ('61' x 600) . '00',
		'4b' . oid_bytes($oid{$_}) . 'fffe80c0' . '00', '4b' . oid_bytes($oid{$_}) . '0a0d0922275c7d01' . '00', '4b' . oid_bytes($oid{$_}) . '99999999999999999999' . '00') } qw(item word plain)),
	map({ ('4b' . oid_bytes($_) . hex_of('1') . '00', '4b' . oid_bytes($_) . '00') } 0, 1, 1259, 2619, 4294967295, 99999999,
		sql(q{SELECT 'tenancy.tenant'::regclass::oid}), sql(q{SELECT 'tenant_one.plain_pkey'::regclass::oid}), sql(q{SELECT 'pg_stat_activity'::regclass::oid})),
	'54' . hex_of('one') . '00', '54' . hex_of('nobody at all') . '00', '54' . hex_of("one\0two") . '00', '54' . hex_of('*') . '00', '54' . 'fffe' . '00',
	'54' . hex_of('[one') . '00', '54' . hex_of('../x') . '00', '54' . hex_of("one\r\nFLUSHALL\r\n") . '00', '54' . ('61' x 8000) . '00', '54' . ('61' x 20000) . '00');
redis_cmd($redis, 'SET', 'not ours', 'kept');
my $retries = sql(q{SELECT sum(retries) FROM tenancy.stat_sync});
for my $transactional ('true', 'false')
{
	$node->safe_psql('postgres', join('', map { "SELECT pg_logical_emit_message($transactional, 'pg_tenancy', '\\x$_'::bytea);\n" } @messages)
		. join('', map { "SELECT pg_logical_emit_message($transactional, '$_', '\\x58'::bytea);\n" } '', 'pg_tenanc', 'pg_tenancy2', 'x' x 5000), extra_params => [ '-U', 'nobody' ]);
	sql("UPDATE tenant_one.$_ SET n = n + 1000") for qw(item word pair plain);
	sql("INSERT INTO tenant_one.word VALUES ('$transactional', 1)", 'UPDATE tenant_two.plain SET n = n + 1000');
	agrees("messages, transactional $transactional");
	is(pids(), $before, 'messages: the same workers');
}
is(redis_cmd($redis, 'GET', 'not ours'), 'kept', 'messages: other keys in Redis are there');
is(sql(q{SELECT count(*) FROM tenancy.dead_letter WHERE relation::text NOT LIKE 'tenant_one.%'}), 0, 'messages: dead letters at most about the tables they named');
is(sql(q{SELECT count(*) FROM tenancy.dead_letter d WHERE EXISTS (SELECT FROM tenant_one.item WHERE id::text = d.key[1]) OR EXISTS (SELECT FROM tenant_one.word WHERE word = d.key[1])}), 0, 'messages: no dead letter of a row that is there');
is(sql(q{SELECT sum(retries) FROM tenancy.stat_sync}), $retries, 'messages: no row had to be sent again because of them');
my ($readable, undef, $why) = $node->psql('postgres', q{SELECT count(convert_from(textsend(k), 'UTF8')) FROM tenancy.dead_letter, unnest(key) k});
is($readable, 0, 'messages: dead letters hold nothing that is no text') or diag($why);
ok(restart_workers(), 'messages: workers end and come back');
sql('UPDATE tenant_one.plain SET n = n + 1', 'SELECT tenancy.dead_letter_retry()');
agrees('messages, after new workers');
sql('DELETE FROM tenancy.dead_letter');

# Settings of the database that would change what is read, or keep the workers from working.
my @tables = qw(wide stamped plain);
my %was = map { $_ => documents("${_}_tenant_one") } @tables;
is(scalar keys %{ $was{wide} }, 40, 'settings: there are documents to compare');
my @settings = (
	"default_transaction_read_only = on", "statement_timeout = '1ms'", "lock_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'", "search_path = evil, public",
	"datestyle = 'SQL, DMY'", "intervalstyle = sql_standard", "timezone = 'Asia/Kathmandu'", "extra_float_digits = -10", "bytea_output = escape", "xmlbinary = hex",
	"default_transaction_isolation = serializable", "default_transaction_deferrable = on", "quote_all_identifiers = on", "standard_conforming_strings = off", "array_nulls = off",
	"session_replication_role = replica", "row_security = off", "exit_on_error = on", "enable_indexscan = off", "role = nobody", "transform_null_equals = on", "lc_monetary = 'C'",
	"client_encoding = 'SQL_ASCII'", "work_mem = '64kB'", "max_parallel_workers_per_gather = 8", "default_tablespace = ''", "check_function_bodies = off", "synchronous_commit = off");
sql(<<'SQL');
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE TABLE evil.leak (who text);
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO evil.leak VALUES (current_user); RETURN 'evil'; END$$;
CREATE FUNCTION evil.format(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO evil.leak VALUES (current_user); RETURN 'evil'; END$$;
CREATE FUNCTION evil.same(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO evil.leak VALUES (current_user); RETURN false; END$$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
SQL
# sessions of this test are not to have them
$ENV{PGOPTIONS} = '-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c search_path=public -c datestyle=ISO '
  . '-c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 -c default_transaction_isolation=read\ committed -c default_transaction_deferrable=off -c session_replication_role=origin '
  . '-c exit_on_error=off -c role=none -c standard_conforming_strings=on -c array_nulls=on -c row_security=on -c bytea_output=hex -c quote_all_identifiers=off -c transform_null_equals=off -c client_encoding=UTF8';
sql("ALTER DATABASE postgres SET $_") for @settings;
ok(restart_workers(), 'settings: workers with the settings of the database');
sql("UPDATE tenant_one.$_ SET n = n") for qw(stamped plain);
sql('UPDATE tenant_one.wide SET f4 = f4');
agrees('settings');
for my $table (@tables)
{
	is_deeply(documents("${table}_tenant_one"), $was{$table}, "settings: the documents of $table are the same");
}
sql('SELECT tenancy.resync()', 'UPDATE tenant_one.item SET n = n + 1', 'DELETE FROM tenant_one.pair WHERE a < 50', 'TRUNCATE tenant_one.word', q{INSERT INTO tenant_one.word VALUES ('new', 1)},
	q{SELECT tenant_create('three', 'shop')}, 'INSERT INTO tenant_three.plain VALUES (1, now(), 1)', 'DELETE FROM tenant_one.stamped WHERE n > 30');
agrees('settings, everything again');
is(sql('SELECT count(*) FROM evil.leak'), 0, 'settings: nothing of the search_path was run');
is_deeply(documents('wide_tenant_one'), $was{wide}, 'settings: and still the same');
sql("ALTER DATABASE postgres RESET ALL");
delete $ENV{PGOPTIONS};
ok(restart_workers(), 'settings: workers without them');
sql('UPDATE tenant_one.plain SET n = n + 1');
agrees('settings taken back');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'settings: nothing was refused');

# Types of a table's owner, whose functions run when a document is made.
$before = pids();
sql(<<'SQL');
CREATE ROLE mallory LOGIN;
CREATE SCHEMA mal AUTHORIZATION mallory;
SET ROLE mallory;
CREATE TABLE mal.seen (who text);
CREATE TYPE mal.mood AS ENUM ('calm', 'greedy', 'sly', 'bad');
CREATE FUNCTION mal.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'DONE';
EXCEPTION WHEN others THEN
	RETURN sqlerrm;
END$$;
CREATE FUNCTION mal.mood_json(m mal.mood) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('datestyle', 'SQL, DMY', false), set_config('timezone', 'Asia/Kathmandu', false), set_config('intervalstyle', 'sql_standard', false),
		set_config('extra_float_digits', '-10', false), set_config('search_path', 'mal, public', false), set_config('statement_timeout', '1', false),
		set_config('default_transaction_read_only', 'on', false), set_config('standard_conforming_strings', 'off', false), set_config('enable_indexscan', 'off', false);
	IF m = 'bad' THEN
		RAISE EXCEPTION 'bad mood';
	ELSIF m = 'greedy' THEN
		RETURN json_build_object('user', current_user, 'auth', mal.try('SELECT rolpassword FROM pg_catalog.pg_authid'),
			'alter', mal.try('ALTER ROLE mallory SUPERUSER'), 'tenant', mal.try('DELETE FROM tenancy.tenant'), 'file', mal.try('SELECT pg_catalog.pg_read_file(''PG_VERSION'')'));
	ELSIF m = 'sly' THEN
		RETURN json_build_object('user', current_user, 'reset', mal.try('RESET ROLE'), 'session', mal.try('SET SESSION AUTHORIZATION postgres'), 'none', mal.try('SET ROLE NONE'),
			'config', mal.try('SELECT set_config(''role'', ''none'', false)'), 'deferred', mal.try('INSERT INTO mal.deferred VALUES (1)'), 'temp', mal.try('CREATE TEMP TABLE x (a int)'),
			'listen', mal.try('LISTEN x'), 'cursor', mal.try('DECLARE c CURSOR WITH HOLD FOR SELECT mal.note()'), 'still', current_user);
	END IF;
	RETURN to_json(m::text);
END$$;
CREATE CAST (mal.mood AS json) WITH FUNCTION mal.mood_json(mal.mood);
CREATE FUNCTION mal.note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO mal.seen VALUES (current_user); RETURN NULL; END$$;
CREATE TABLE mal.deferred (a int);
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON mal.deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mal.note();
CREATE FUNCTION mal.check(t text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('datestyle', 'SQL, DMY', false);
	IF EXISTS (SELECT FROM mal.seen WHERE who = 'domain refuses') THEN
		RAISE EXCEPTION 'refused by the domain';
	END IF;
	RETURN true;
END$$;
CREATE DOMAIN mal.name AS text CHECK (mal.check(VALUE));
CREATE DOMAIN mal.moods AS mal.mood[];
RESET ROLE;
SELECT tenant_blueprint_add('mal', 1, $$
CREATE TABLE feeling (id mal.name PRIMARY KEY, at timestamptz, moods mal.moods);
ALTER TABLE feeling OWNER TO mallory;
CREATE TABLE calm (id bigint PRIMARY KEY, at timestamptz, span interval, f float8, spans interval[]);
$$);
SELECT tenant_sync_table('mal', t, t, mapping => '{"mappings": {"dynamic": false}}', cache_tags => ARRAY[t]) FROM unnest(ARRAY['feeling', 'calm']) t;
SELECT tenant_create('mal', 'mal');
GRANT USAGE ON SCHEMA tenant_mal TO mallory;
INSERT INTO tenant_mal.calm SELECT n, timestamptz '2026-03-04 05:06:07+08' + n * interval '1 hour', n * interval '1 day 2 hours', n / 3.0::float8, ARRAY[n * interval '1 month 3 hours'] FROM generate_series(1, 100) n;
SQL
ok(synced(), 'types: start');
my $calm = documents('calm_tenant_mal');
is(scalar keys %$calm, 100, 'types: documents of a table beside it');
sql(q{INSERT INTO tenant_mal.feeling SELECT 'calm ' || n, '2026-03-04 05:06:07+08', '{calm,calm}' FROM generate_series(1, 50) n;
	INSERT INTO tenant_mal.feeling VALUES ('greedy', '2026-03-04 05:06:07+08', '{greedy}'), ('sly', '2026-03-04 05:06:07+08', '{sly}'), ('after', '2026-03-04 05:06:07+08', '{calm}');
	UPDATE tenant_mal.calm SET f = f; UPDATE tenant_one.plain SET n = n + 1});
ok(synced(), 'types: in');
is_deeply(documents('calm_tenant_mal'), $calm, 'types: the documents beside it are the same');
is($search->count('feeling_tenant_mal'), 53, 'types: every row of the owner is there');
my $greedy = $search->document('feeling_tenant_mal', 'greedy')->{moods}[0];
is($greedy->{user}, 'mallory', 'types: functions run as the owner of the table');
like($greedy->{auth}, qr/permission denied for table pg_authid/, 'types: no look at pg_authid');
like($greedy->{alter}, qr/must be superuser|permission denied/, 'types: no superuser');
like($greedy->{tenant}, qr/permission denied/, 'types: no change of the registry');
like($greedy->{file}, qr/permission denied/, 'types: no look at files');
my $sly = $search->document('feeling_tenant_mal', 'sly')->{moods}[0];
is($sly->{still}, 'mallory', 'types: still the owner after all attempts');
like($sly->{$_}, qr/security-restricted operation/, "types: $_ is refused") for qw(reset session none config temp listen deferred);
isnt($sly->{cursor}, 'DONE', 'types: no cursor outlives the transaction');
is(sql('SELECT count(*) FROM mal.seen'), 0, 'types: no trigger ran later');
is(sql(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'}), 'f', 'types: mallory is who she was');

# One row of the owner's cannot be read.
sql(q{INSERT INTO tenant_mal.feeling SELECT 'more ' || n, now(), CASE WHEN n = 25 THEN '{calm,bad}' ELSE '{calm}' END::mal.moods FROM generate_series(1, 50) n;
	UPDATE tenant_mal.calm SET f = f; UPDATE tenant_one.plain SET n = n + 1});
ok(synced(), 'types: a row that cannot be read holds nobody up');
is(sql('SELECT sink, relation, key, reason FROM tenancy.dead_letter'), 'search|tenant_mal.feeling|{"more 25"}|bad mood', 'types: it is a dead letter');
is($search->count('feeling_tenant_mal'), 102, 'types: the others are there');
is_deeply(documents('calm_tenant_mal'), $calm, 'types: documents beside it are the same as ever');
sql(q{UPDATE tenant_mal.feeling SET moods = '{calm}' WHERE id = 'more 25'});
ok(synced(), 'types: mended');
is(letters(), 0, 'types: its letter is gone');

# A domain that refuses what is in the table already.
sql(q{INSERT INTO mal.seen VALUES ('domain refuses')});
sql(q{DELETE FROM tenant_mal.feeling WHERE id LIKE 'more 1%'});
sql(q{UPDATE tenant_one.plain SET n = n + 1});
ok(synced(), 'domain: what its check says does not matter');
is($search->count('feeling_tenant_mal'), 103 - 11, 'domain: deleted rows are gone');
is(letters(), 0, 'domain: nothing was refused');
is(pids(), $before, 'types: the same workers');
index_agrees($node, 'postgres', $_, 'plain', $search, 'plain', "types: tenant $_ agrees") for qw(one two three);
sql(q{SELECT tenant_drop('mal', purge => true)});

# Decoding by hand with our plugin.
SKIP:
{
	skip('every plugin is allowed here', 1) unless has_list();
	my ($status, undef, $errors) = $node->psql('postgres', q{SELECT pg_create_logical_replication_slot('hand', 'pg_tenancy')});
	isnt($status, 0, 'by hand: not allowed by default');
}
$node->append_conf('postgresql.conf', "output_plugin_libraries = 'pg_tenancy'") if has_list();
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT coalesce(current_setting('output_plugin_libraries', true), 'pg_tenancy') = 'pg_tenancy'}), 'by hand: allowed');
is(sql(q{SELECT slot_name FROM pg_create_logical_replication_slot('hand', 'pg_tenancy')}), 'hand', 'by hand: a slot');
sub write_all
{
	sql('UPDATE tenant_one.plain SET n = n + 1', q{INSERT INTO tenant_one.word VALUES (random(), 1)}, 'TRUNCATE tenant_two.plain', q{SELECT pg_logical_emit_message(true, 'pg_tenancy', E'\\\\x4b00'::bytea)},
		q{SELECT pg_logical_emit_message(false, 'pg_tenancy', 'x')}, q{SELECT tenant_create('hand', 'shop', if_not_exists => true)}, 'INSERT INTO tenant_hand.item (n) SELECT n FROM generate_series(1, 50) n',
		q{SELECT tenant_sync_table('shop', 'plain', 'plain', mapping => '{"mappings": {"dynamic": false}}')});
}
write_all();
is(sql(q{SELECT count(*) FROM pg_logical_slot_peek_binary_changes('hand', NULL, NULL)}), 0, 'by hand: nothing comes out');
my ($slot) = split /\n/, sql(q{SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'tenancy%'});
my ($status, undef, $errors) = $node->psql('postgres', "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('$slot', NULL, NULL)");
like($errors, qr/is active for PID/, 'by hand: our slot is in use');
write_all();
is($node->psql('postgres', q{SELECT count(*) FROM pg_logical_slot_get_changes('hand', NULL, NULL)}), 3, 'by hand: no text');
is(sql(q{SELECT count(*) FROM pg_logical_slot_get_binary_changes('hand', NULL, NULL)}), 0, 'by hand: consumed');
agrees('by hand');

# Our own slot, while nobody reads it, in a server that has not preloaded the library.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
write_all();
for my $load ('SELECT 1', 'LOAD $$pg_tenancy$$')
{
	is($node->safe_psql('postgres', "$load; SELECT count(*) FROM pg_logical_slot_peek_binary_changes('$slot', NULL, NULL)") =~ s/^1?\n//r, 0, "not preloaded: peeking at our slot, $load");
}
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_tenancy'");
sql(q{SELECT pg_drop_replication_slot('hand')});
$node->restart;
agrees('preloaded again');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|exited with exit code [2-9]/, 'no process died');

# A list of plugins in which ours is not, though its name is in there.
SKIP:
{
	skip('no list of plugins here', 15) unless has_list();
	for my $list (q{"not pg_tenancy"}, q{"a, pg_tenancy, b"}, q{pg_tenancy_more, "x""pg_tenancy"})
	{
		$node->append_conf('postgresql.conf', "output_plugin_libraries = '$list'");
		$node->restart;
		sql('UPDATE tenant_one.plain SET n = n + 1');
		agrees("list $list");
	}
	$node->append_conf('postgresql.conf', "tenancy.extend_plugin_list = off");
	$node->restart;
	ok(wait_until(sub { state_of($node, 'postgres', 'capture') =~ /^(?:failed|starting|stopped)$/ && sql(q{SELECT last_error FROM tenancy.stat_sync WHERE sink = 'capture'}) ne '' }, 60), 'not listed: capture says so');
	like(sql(q{SELECT last_error FROM tenancy.stat_sync WHERE sink = 'capture'}), qr/pg_tenancy.*output plugin|output_plugin_libraries/, 'not listed: a clear error') or diag(sql('TABLE tenancy.stat_sync'));
	is(sql(q{SELECT tenant_create('four', 'shop') > 0}), 't', 'not listed: tenants are made');
	is(sql(q{INSERT INTO tenant_four.plain VALUES (1, now(), 1); BEGIN; SELECT tenant_use('four'); SELECT tenant_cache_set('k', '1', ttl => 60), tenant_cache_get('k'); COMMIT}) =~ s/\s//gr, 'f|', 'not listed: a new tenant has no cache, as nothing would be invalidated');
	is(sql("SELECT tenancy.sync_wait('500 ms')"), 'f', 'not listed: sync_wait knows');
	my $errors = () = slurp_file($node->logfile) =~ /may not be used as an output plugin/g;
	cmp_ok($errors, '<', 60, 'not listed: no busy loop');
	$node->append_conf('postgresql.conf', "output_plugin_libraries = 'pg_tenancy'");
	$node->reload;
	agrees('listed');
	is($search->count('plain_tenant_four'), 1, 'listed: what was written meanwhile is there');
	$node->append_conf('postgresql.conf', "tenancy.extend_plugin_list = on");
}
$node->stop;

# Too few background workers: some of the three do not start, or none.
for my $most (3, 2, 1)
{
	$node->append_conf('postgresql.conf', "max_worker_processes = $most");
	my $offset = -s $node->logfile;
	$node->start;
	ok(wait_until(sub { slurp_file($node->logfile, $offset) =~ /out of background worker slots|too many background workers/ }, 60), "$most workers: a warning") or diag(slurp_file($node->logfile, $offset));
	sql(q{UPDATE tenant_one.plain SET n = n + 1});
	is(sql("SELECT tenancy.sync_wait('20 s')"), 'f', "$most workers: sync_wait knows");
	isnt(sql(q{SELECT count(*) FROM tenancy.stat_sync WHERE state IN ('starting', 'stopped', 'failed')}), 0, "$most workers: shown in the status") or diag(sql('TABLE tenancy.stat_sync'));
	my $log = slurp_file($node->logfile, $offset);
	is(scalar(() = $log =~ /out of background worker slots|too many background workers/g), 1, "$most workers: warned once");
	cmp_ok(scalar(() = $log =~ /\n/g), '<', 100, "$most workers: no busy loop") or diag($log);
	$node->stop;
}
$node->append_conf('postgresql.conf', 'max_worker_processes = 24');
$node->start;
agrees('enough workers');
done_testing();
