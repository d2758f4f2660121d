# tenancy.reindex(): a new generation of an index is filled, compared and put in the old one's place, while rows change and a
# client searches; nothing of it is ever missing, whatever dies meanwhile.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Time::HiRes qw(sleep);
use TenancyTest;
use TenancyLoad;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $node = tenancy_node('reindex', search => $search, conf => "tenancy.reindex_grace = '2s'\ntenancy.retry_max = '1s'\nlog_min_messages = warning\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
my $load;

# Compares while the writers rest.
sub agrees
{
	stop_load($load) if $load;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	all_agree($node, 'postgres', $search, @_);
	$load = start_writers() if $load;
	return;
}

sub move { my ($column, $type) = @_; return eval { sql("SELECT $column FROM tenancy.stat_progress_reindex WHERE tenant = 'one' AND index_type = '" . ($type // 'item') . "'") } // 'down' }
sub phase { return move('phase', @_) }
sub state_text { return sql('SELECT index_name, role, state, filled, last_error FROM tenancy.search_index ORDER BY 1; TABLE tenancy.index_move; TABLE tenancy.resync; TABLE tenancy.stat_sync') }

# Index that the alias stands for; all that the server has of ours.
sub serving
{
	my ($alias) = @_;
	my ($status, $reply) = $search->request('GET', "/_alias/$alias");
	return $status == 200 ? join(' ', sort keys %$reply) : "status $status";
}
sub indices { my ($status, $text) = $search->raw('GET', '/_cat/indices/*,-.*?h=index&s=index'); return join(' ', split ' ', $text) }
sub registered { return sql(q{SELECT string_agg(index_name, ' ' ORDER BY index_name COLLATE "C") FROM tenancy.search_index}) }
sub mapped { my ($alias, $name) = @_; my ($status, $reply) = $search->request('GET', "/$alias/_mapping"); my ($index) = values %$reply; return $index->{mappings}{properties}{$name}{type} }

# Waits until the move is over.
sub over
{
	my ($name, $type) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(wait_until(sub { phase($type) eq '' }, 120), "$name: it is over") || diag(state_text());
}

# A client that searches all the time for documents that are always there; notes what it misses.
my $misses = "$PostgreSQL::Test::Utils::tmp_check/misses";
sub start_client
{
	my ($alias, $count) = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	my $good = 0;
	while (!-e "$misses.stop" && getppid() != 1)
	{
		my ($status, $reply) = eval { $search->request('POST', "/$alias/_count", { query => { term => { still => JSON::PP::true } } }) };
		sleep 0.2, next unless $status; # no server: no answer either, and a port tried too often is connected to itself
		if ($status == 200 && $reply->{count} == $count && $reply->{_shards}{failed} == 0) { $good++ }
		elsif ($status == 404 || $status == 200) { open(my $file, '>>', $misses); print $file "$status ", $reply->{count} // '', "\n"; close $file }
		sleep 0.005;
	}
	open(my $file, '>', "$misses.good"); print $file $good; close $file;
	POSIX::_exit(0);
}

my $mapping = '{"settings": {"refresh_interval": "200ms"}, "mappings": {"dynamic": false, "properties": {"id": {"type": "long"}, "still": {"type": "boolean"}, "word": {"type": "%s"}}}}';
my $body = sprintf $mapping, 'keyword';
sql(<<"SQL");
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('shop', 1, \$\$
CREATE TABLE item (id bigint PRIMARY KEY, still boolean, word text, n int);
CREATE TABLE loose (id bigint PRIMARY KEY, n int);
CREATE TABLE made (id bigint PRIMARY KEY, n numeric(10,2));
\$\$);
SELECT tenant_sync_table('shop', 'item', 'item', mapping => '$body'), tenant_sync_table('shop', 'loose', 'loose', mapping => '{"mappings": {"dynamic": true}}'), tenant_sync_table('shop', 'made', 'made');
SELECT tenant_create('one', 'shop'), tenant_create('two', 'shop');
INSERT INTO tenant_one.item SELECT n, n <= 3000, 'word ' || n, n FROM generate_series(1, 6000) n;
INSERT INTO tenant_two.item SELECT n, true, 'word ' || n, n FROM generate_series(1, 100) n;
INSERT INTO tenant_one.loose SELECT n, n FROM generate_series(1, 50) n;
INSERT INTO tenant_one.made SELECT n, n + 0.25 FROM generate_series(1, 50) n;
SQL
agrees('start');
is(sql(q{SELECT tenancy.reindex('two', 'nothing')}), 0, 'an unknown type: nothing');
my ($status, $out, $errors) = $node->psql('postgres', q{SELECT tenancy.reindex('nobody')}, on_error_stop => 1);
like($errors, qr/tenant "nobody" does not exist/, 'an unknown tenant is refused');

# Rows change all the time: only those that are not still.
sub start_writers { return start_load($node, 'postgres', writers => 2, script => <<'SQL') }
SET lock_timeout = '5s';
INSERT INTO tenant_one.item SELECT 100000 + (random() * 1e6)::int, false, 'new', 1 ON CONFLICT DO NOTHING;
UPDATE tenant_one.item SET n = n + 1, word = 'word ' || random() WHERE id = 3001 + (random() * 2999)::int;
DELETE FROM tenant_one.item WHERE id = 3001 + (random() * 2999)::int;
INSERT INTO tenant_one.item SELECT 3001 + (random() * 2999)::int, false, 'again', 0 ON CONFLICT DO NOTHING;
UPDATE tenant_two.item SET n = n + 1 WHERE id = 1 + (random() * 99)::int;
SELECT pg_sleep(0.01);
SQL
$load = start_writers();
$search->refresh('item_tenant_one');
my $client = start_client('item_tenant_one', 3000);

# Through all phases, asked for by hand.
my $first = serving('item_tenant_one');
is(sql(q{SELECT tenancy.reindex('one', 'item')}), 1, 'by hand: asked for');
ok(wait_until(sub { phase() eq 'grace' }, 120), 'by hand: it serves') or diag(state_text());
my $second = serving('item_tenant_one');
isnt($second, $first, 'by hand: another index has the alias');
is(move('from_index || $$ $$ || to_index || $$ $$ || (rows_done >= 5000)'), "$first $second true", 'by hand: the progress view names both');
like(indices(), qr/\b\Q$first\E\b/, 'by hand: the old one is kept a while');
sql('UPDATE tenant_one.item SET n = -5 WHERE id = 17');
ok(wait_until(sub { my ($s, $r) = $search->request('GET', "/$first/_doc/17"); $s == 404 || $r->{_source}{n} == -5 }, 60), 'by hand: and in step');
over('by hand');
ok(wait_until(sub { indices() !~ /\b\Q$first\E\b/ }, 60), 'by hand: then it is gone');
agrees('by hand');

# Another analyzer, or type, by tenant_sync_table: by itself, for every tenant.
$body = sprintf $mapping, 'text';
like(($node->psql('postgres', "SELECT tenant_sync_table('shop', 'item', 'item', mapping => '$body')"))[2], qr/made anew/, 'changed mapping: it says so');
over('changed mapping');
ok(wait_until(sub { sql('SELECT count(*) FROM tenancy.index_move') == 0 }, 120), 'changed mapping: both are over');
is(mapped("item_tenant_$_", 'word'), 'text', "changed mapping: tenant $_ has it") for qw(one two);
agrees('changed mapping');

# One more property is put; so are its values into the index.
my $third = serving('item_tenant_one');
$body =~ s/"properties": \{/"properties": {"n": {"type": "integer"}, /;
sql("SELECT tenant_sync_table('shop', 'item', 'item', mapping => '$body')");
agrees('added property');
is(serving('item_tenant_one'), $third, 'added property: the index stays');
is(mapped('item_tenant_one', 'n'), 'integer', 'added property: it is put');

# A setting, and what the mapping has besides fields: put too.
$body =~ s/"200ms"/"300ms"/;
$body =~ s/"dynamic": false/"dynamic": false, "_meta": {"search_fields": ["word"]}/;
sql("SELECT tenant_sync_table('shop', 'item', 'item', mapping => '$body')");
agrees('changed setting');
is(serving('item_tenant_one'), $third, 'changed setting: the index stays');
($status, my $settings) = $search->request('GET', "/$third");
is($settings->{$third}{settings}{index}{refresh_interval}, '300ms', 'changed setting: it is put');
is_deeply($settings->{$third}{mappings}{_meta}, { search_fields => ['word'] }, 'changed setting: and the member of the mapping');
is(sql(q{SELECT count(*) FROM tenancy.search_index WHERE to_set <> '{}'}), 0, 'changed setting: nothing is left to be put');

# A column's type, where the mapping is not the user's.
my $loose = serving('loose_tenant_one');
is(mapped('loose_tenant_one', 'n'), 'long', 'column type: as the server guessed');
sql(q{ALTER TABLE tenant_one.loose ALTER COLUMN n TYPE text USING 'number ' || n});
ok(wait_until(sub { serving('loose_tenant_one') ne $loose }, 120), 'column type: the index is made anew') or diag(state_text());
over('column type', 'loose');
is(mapped('loose_tenant_one', 'n'), 'text', 'column type: with the new one');
agrees('column type');

# The same where the mapping was generated: also what a type is given in brackets; what goes is no reason.
for my $change ([ 'numeric(10,3)', 'scaled_float', 'n' ], [ 'text', 'text', q{'number ' || n} ])
{
	my ($type, $field, $using) = @$change;
	my $made = serving('made_tenant_one');
	sql("ALTER TABLE tenant_one.made ALTER COLUMN n TYPE $type USING $using");
	ok(wait_until(sub { serving('made_tenant_one') ne $made }, 120), "generated, $type: the index is made anew") or diag(state_text());
	over("generated, $type", 'made');
	is(mapped('made_tenant_one', 'n'), $field, "generated, $type: with the new one");
	agrees("generated, $type");
}
my $made = serving('made_tenant_one');
sql('ALTER TABLE tenant_one.made ADD COLUMN more int, DROP COLUMN n', 'INSERT INTO tenant_one.made VALUES (1000, 5)');
agrees('generated, a column more and one less');
is(mapped('made_tenant_one', 'more'), 'integer', 'generated, a column more: it is put');
is(serving('made_tenant_one') . sql(q{SELECT count(*) FROM tenancy.index_move WHERE index_type = 'made'}), "${made}0", 'generated, a column more and one less: the index stays');
is(sql(q{SELECT array_agg(k ORDER BY k) FROM tenancy.search_index i, jsonb_object_keys(tenancy.index_body(i.tenant_id, i.index_type) #> '{mappings,properties}') k WHERE i.alias = 'made_tenant_one'}), '{id,more}', 'generated: the next one has what is there');
is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, 'column type: no letter is left');

# kill -9 of the worker and of the whole server in each phase.
sql('ALTER SYSTEM SET tenancy.resync_rate = 4000', 'SELECT pg_reload_conf()');
for my $phase (qw(creating filling verifying switching grace))
{
	my $before = serving('item_tenant_one');
	sql(q{SELECT tenancy.reindex('one', 'item')});
	wait_until(sub { my $now = phase(); $now eq $phase || $now eq 'grace' }, 60) or diag(state_text());
	my $seen = phase();
	if ($phase eq 'filling') { $node->stop('immediate'); $node->start }
	else { kill_worker($node, $phase eq 'verifying' ? 'pg_tenancy verify' : 'pg_tenancy search sink', 'pg_tenancy search sink') }
	over("killed while $phase (was $seen)");
	isnt(serving('item_tenant_one'), $before, "killed while $phase: another index serves");
}
sql('ALTER SYSTEM RESET tenancy.resync_rate', 'SELECT pg_reload_conf()');
agrees('killed');

# The new index is taken away, and blocked, while it is filled: the old one goes on and the new one comes.
sql('ALTER SYSTEM SET tenancy.resync_rate = 3000', 'SELECT pg_reload_conf()');
sql(q{SELECT tenancy.reindex('one', 'item')});
ok(wait_until(sub { phase() eq 'filling' }, 60), 'taken away: it is being filled');
my $new = move('to_index');
$search->request('DELETE', "/$new");
sql(q{UPDATE tenant_one.item SET word = 'marked' WHERE id = 5});
ok(wait_until(sub { $search->document('item_tenant_one', 5)->{word} eq 'marked' }, 60), 'taken away: the old one goes on');
over('taken away');
is(serving('item_tenant_one'), $new, 'taken away: it was made again');
sql(q{SELECT tenancy.reindex('one', 'item')});
ok(wait_until(sub { phase() eq 'filling' }, 60), 'blocked: it is being filled');
$new = move('to_index');
$search->request('PUT', "/$new/_settings", { 'index.blocks.write' => JSON::PP::true });
ok(wait_until(sub { move('attempts') > 0 }, 60), 'blocked: it is put aside') or diag(state_text());
sql(q{UPDATE tenant_one.item SET word = 'unblocked' WHERE id = 6});
ok(wait_until(sub { $search->document('item_tenant_one', 6)->{word} eq 'unblocked' }, 60), 'blocked: the old one goes on');
$search->request('PUT', "/$new/_settings", { 'index.blocks.write' => undef });
over('blocked');
is(serving('item_tenant_one'), $new, 'blocked: it serves when it was let go');

# Given up by hand.
sql(q{SELECT tenancy.reindex('one', 'item')});
ok(wait_until(sub { phase() eq 'filling' }, 60), 'cancelled: it is being filled');
is(sql(q{SELECT tenancy.reindex_cancel('one', 'item'), tenancy.reindex_cancel('one', 'item')}), 't|f', 'cancelled: once');
sql('ALTER SYSTEM RESET tenancy.resync_rate', 'SELECT pg_reload_conf()');
agrees('cancelled');
is(serving('item_tenant_one'), $new, 'cancelled: the old one serves');

# The search server is away in the middle.
sql(q{SELECT tenancy.reindex('one', 'item')});
wait_until(sub { phase() =~ /creating|filling/ }, 60);
$search->kill9;
sql(q{UPDATE tenant_one.item SET word = 'meanwhile' WHERE id = 7});
ok(wait_until(sub { eval { $search->start; 1 } }, 60), 'server away: it is back');
over('server away');
agrees('server away');

# A document that the new one refuses and the old one has: the new one is given up.
sql(q{UPDATE tenant_one.item SET word = 'no number' WHERE id = 8});
$body =~ s/"word": \{"type": "text"\}/"word": {"type": "integer"}/;
my $kept = serving('item_tenant_one');
sql("SELECT tenant_sync_table('shop', 'item', 'item', mapping => '$body')");
ok(wait_until(sub { phase() eq 'failed' }, 120), 'refused: it is given up') or diag(state_text());
like(move('last_error'), qr/document "\d+": .*integer/, 'refused: it says for which document');
is(serving('item_tenant_one'), $kept, 'refused: the old one serves');
agrees('refused');
$body =~ s/"word": \{"type": "integer"\}/"word": {"type": "keyword"}/;
sql("SELECT tenant_sync_table('shop', 'item', 'item', mapping => '$body')");
over('mended');
is(mapped('item_tenant_one', 'word'), 'keyword', 'mended: the next one serves');

stop_load($load);
undef $load;
open(my $stop, '>', "$misses.stop"); close $stop;
waitpid $client, 0;
cmp_ok(slurp_file("$misses.good"), '>', 100, 'the client searched all the time');
ok(!-e $misses, 'and never missed a document') or diag(slurp_file($misses));
agrees('end');
ok(wait_until(sub { sql(q{SELECT count(*) FROM tenancy.search_index WHERE state <> 'ready'}) == 0 }, 60), 'nothing is left to be dropped') or diag(state_text());
is(indices(), registered(), 'the server has the indices that are registered and no other');
done_testing();
