# A document whose making does not end, not even when it is cancelled, holds nobody else's changes for long.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('unending', search => $search, conf => "tenancy.document_timeout = '200ms'\ntenancy.retry_max = '1s'\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub blocked { return sql("SELECT coalesce(string_agg(table_name || ': ' || last_error, E'\\n'), '') FROM tenancy.resync WHERE phase = 'blocked'") }
sub arrives { my ($n) = @_; return wait_until(sub { (($search->document('item_tenant_two', 1)) // { n => -1 })->{n} == $n }, 60) }

sql(<<'SQL');
CREATE EXTENSION pg_tenancy;
CREATE FUNCTION made(id int, word text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	WHILE word = 'for ever' LOOP
		BEGIN
			PERFORM pg_sleep(60);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	END LOOP;
	RETURN jsonb_build_object('id', id, 'word', word);
END
$$;
SELECT tenant_blueprint_add('shop', 1, $$
CREATE TABLE item (id int PRIMARY KEY, n int);
CREATE TABLE odd (id int PRIMARY KEY, word text);
$$);
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '{"mappings": {"dynamic": false}}');
SELECT tenant_sync_table('shop', 'odd', 'odd', document => 'public.made(id, word)', mapping => '{"mappings": {"dynamic": false}}');
SELECT tenant_create(n, 'shop') FROM unnest(ARRAY['one', 'two']) n;
INSERT INTO tenant_one.odd SELECT n, 'good' FROM generate_series(1, 50) n;
INSERT INTO tenant_two.odd SELECT n, 'good' FROM generate_series(1, 50) n;
INSERT INTO tenant_two.item VALUES (1, 0);
SQL
ok(sync_wait($node, 'postgres', 60), 'at the start: in the sinks');
my ($pid) = worker_pids($node, 'pg_tenancy search sink');
my $server = sql('SELECT pg_postmaster_start_time()');

sql(q{UPDATE tenant_one.odd SET word = 'for ever' WHERE id = 7});
sql('UPDATE tenant_two.item SET n = 1');
ok(wait_until(sub { blocked() ne '' }, 60), 'its table is blocked');
like(blocked(), qr/^odd: documents of relation \d+ of tenant "one" cannot be made: making a document did not end when it was cancelled$/, 'and it is said why');
ok(arrives(1), 'another change arrives');
isnt((worker_pids($node, 'pg_tenancy search sink'))[0], $pid, 'by another worker');
($pid) = worker_pids($node, 'pg_tenancy search sink');
sql('UPDATE tenant_two.item SET n = 2', q{UPDATE tenant_two.odd SET word = 'better' WHERE id = 1}, q{UPDATE tenant_one.odd SET word = 'better' WHERE id = 1});
ok(arrives(2), 'later changes too');
ok(wait_until(sub { $search->document('odd_tenant_two', 1)->{word} eq 'better' }, 30), 'the same table of another tenant goes on');
is((worker_pids($node, 'pg_tenancy search sink'))[0], $pid, 'from the same worker');
is($search->document('odd_tenant_one', 1)->{word}, 'good', 'the blocked table waits');

# It is tried again after ten times of what it cost, and nobody else waits for long.
ok(wait_until(sub { my ($now) = eval { worker_pids($node, 'pg_tenancy search sink') }; $now && $now ne $pid }, 120), 'it is tried again in a while');
sql('UPDATE tenant_two.item SET n = 3');
ok(arrives(3), 'tried again: another change arrives');

# A function that can be cancelled: the table is done by itself.
sql(q{CREATE OR REPLACE FUNCTION public.made(id int, word text) RETURNS jsonb LANGUAGE sql AS 'SELECT jsonb_build_object(''id'', id, ''word'', word)'});
ok(wait_until(sub { $search->document('odd_tenant_one', 1)->{word} eq 'better' }, 120), 'mended: the table is done');
is(blocked(), '', 'mended: no table is blocked');
ok(sync_wait($node, 'postgres', 60), 'mended: in the sinks');
is(sql('SELECT sum(missing), sum(stale), sum(ghost), sum(checked) FROM tenancy.verify()'), '0|0|0|101', 'mended: all agree');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'mended: no letter is left');
is(sql('SELECT pg_postmaster_start_time()'), $server, 'the server was never restarted');
$node->stop;
done_testing();
