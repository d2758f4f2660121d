# Monthly placement while partitions take rows of others, keys come and go, and the server loses what it had.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

my $product = $ENV{TENANCY_MONTHLY_PRODUCT} || 'elasticsearch7';
need_servers($product);
my $search = TenancySearch->start($product);
my $node = tenancy_node('changes', search => $search, conf => "tenancy.reindex_grace = '1s'\ntenancy.retry_max = '1s'\nlog_min_messages = warning\n");
$node->start;

sub sql { return $node->safe_psql('postgres', join(";\n", @_)) }
sub state_text { return sql('SELECT index_name, role, month_of, bounds, state, filled, replaces, last_error FROM tenancy.search_index ORDER BY 1; TABLE tenancy.index_move; TABLE tenancy.resync') }
sub part { my ($name, $from, $to) = @_; return "CREATE TABLE tenant_one.$name PARTITION OF tenant_one.event FOR VALUES FROM ('$from') TO ('$to')" }
sub total { return (sql("BEGIN; SELECT tenant_use('one'); SELECT tenant_search(NULL, 'event') ->> 'total'; COMMIT") =~ /^(\d+)$/m)[0] }
sub rows { return sql('SELECT count(*) FROM tenant_one.event') }

# Documents of each index that the alias stands for, by what stands behind the generation: '20240101:3 ... whole:0'.
sub months
{
	my ($status, $reply) = $search->request('GET', '/_alias/event_tenant_one');
	return "status $status" if $status != 200;
	my %count = map { (/-(.*)/ ? $1 : 'whole') => $search->count($_) // 'none' } keys %$reply;
	return join(' ', map { "$_:$count{$_}" } sort keys %count);
}
sub has_months
{
	my ($wanted, $title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until(sub { (eval { months() } // '') eq $wanted }, 60);
	return is(months(), $wanted, $title) || diag(state_text());
}
sub agree
{
	my ($title) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(sync_wait($node, 'postgres', 120), "$title: in the sink") or diag(state_text());
	is(sql('SELECT sum(missing + stale + ghost) FROM tenancy.verify()'), 0, "$title: all agree");
	return is(total(), rows(), "$title: searches find all");
}
sub over { my ($title) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return ok(wait_until(sub { (eval { sql('SELECT count(*) FROM tenancy.index_move') } // '') eq '0' }, 120), "$title: it is over") || diag(state_text()) }
sub gets { my ($query, $wanted, $title) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; wait_until(sub { (eval { sql($query) } // '') eq $wanted }, 60); return is(sql($query), $wanted, $title) || diag(state_text()) }

sql('CREATE EXTENSION pg_tenancy', q{SELECT tenant_blueprint_add('log', 1, $$CREATE TABLE event (id bigint, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	CREATE TABLE event_01 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2024-02-01'); CREATE TABLE rest PARTITION OF event DEFAULT$$)},
	q{SELECT tenant_sync_table('log', 'event', 'event')}, q{SELECT tenancy.index_template('log', 'event', '{"refresh_interval": "200ms"}')}, q{SELECT tenant_create('one', 'log')},
	q{SELECT tenancy.place('one', 'event', 'monthly')}, q{INSERT INTO tenant_one.event SELECT n, m::date, 'x' FROM generate_series(1, 50) n, unnest('{2024-01-10,2024-02-10,2024-03-10}'::text[]) m});
has_months('20240101:50 default:100 whole:0', 'start');
agree('start');

# Rows leave the default partition for a new one, in the transaction that makes it, and before it while nothing is sent.
sql('BEGIN', 'CREATE TABLE tenant_one.event_02 (LIKE tenant_one.event)', q{WITH d AS (DELETE FROM tenant_one.event WHERE at >= '2024-02-01' AND at < '2024-03-01' RETURNING *) INSERT INTO tenant_one.event_02 SELECT * FROM d},
	q{ALTER TABLE tenant_one.event ATTACH PARTITION tenant_one.event_02 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')}, 'COMMIT');
agree('rows that moved out of the default partition');
like(months(), qr/^20240101:50 20240201:50 default-?\d*:50 whole:0$/, 'are in one index only');
sql(q{SELECT tenancy.pause('search')}, q{DELETE FROM tenant_one.event WHERE at >= '2024-03-01'}, part('event_03', '2024-03-01', '2024-04-01'), q{SELECT tenancy.resume('search')});
agree('rows that were deleted before');
like(months(), qr/^20240101:50 20240201:50 20240301:0 default[-\d]*:0 whole:0$/, 'are in none');

sql(part('late', '2100-01-01', 'infinity'), q{INSERT INTO tenant_one.event VALUES (1, 'infinity', 'last'), (1, '2100-01-01', 'late')});
agree('a bound at infinity');
like(months(), qr/ 21000101:1 default[-\d]*:1 whole:0$/, 'infinity itself is in the default partition');
sql('DELETE FROM tenant_one.event WHERE at >= \'2100-01-01\'', 'DROP TABLE tenant_one.late');

# Partitions and rows one after the other, faster than anybody looks at the table's shape.
my @many = map { my $d = sprintf('2025-01-%02d', $_); my $e = sprintf('2025-01-%02d', $_ + 1); (part("day_$_", $d, $e), "INSERT INTO tenant_one.event VALUES ($_, '$d', 'fast')") } 1 .. 28;
sql(@many);
agree('many partitions');
like(months(), qr/(?:202501\d\d:1 ){28}default[-\d]*:0 whole:0$/, 'each row is in the index of its own');
sql(map { "DROP TABLE tenant_one.day_$_" } 1 .. 28);
ok(wait_until(sub { months() =~ /^20240101:50 20240201:50 20240301:0 default[-\d]*:0 whole:0$/ }, 60), 'they go') or diag(months());

# Other bounds, and no key: searches find all rows at any moment.
sql(q{SELECT tenancy.pause('search', 'one')}, 'ALTER TABLE tenant_one.event DETACH PARTITION tenant_one.event_02', q{ALTER TABLE tenant_one.event ATTACH PARTITION tenant_one.event_02 FOR VALUES FROM ('2024-02-01') TO ('2024-02-20')});
gets(q{SELECT count(*) FROM tenancy.search_index WHERE bounds LIKE '%2024-02-20%' AND state <> 'dropping' AND bounds NOT LIKE 'DEF%'}, 1, 'other bounds: another index');
is(total(), 100, 'before it has documents, all are found');
sql(q{SELECT tenancy.resume('search', 'one')});
agree('other bounds');
sql('ALTER TABLE tenant_one.event DROP CONSTRAINT event_pkey');
gets(q{SELECT count(*) FROM tenancy.index_move WHERE placement = 'dedicated'}, 1, 'without a key it is to be placed otherwise');
is(total(), 100, 'all are found');
sql('ALTER TABLE tenant_one.event ADD PRIMARY KEY (id, at)');
agree('with a key again');
over('with a key again');
gets(q{SELECT placement FROM tenancy.placement_advice() WHERE tenant = 'one'}, 'monthly', 'it is monthly');
agree('monthly');

# A document that no partition has does not keep verify from its end.
my $whole = sql(q{SELECT index_name FROM tenancy.search_index WHERE monthly AND role = 'serving'});
my ($status, $hits) = $search->request('POST', '/event_tenant_one/_search', { size => 1, query => { match_all => {} } });
my $hit = $hits->{hits}{hits}[0];
sql('DROP TABLE tenant_one.rest');
ok(sync_wait($node, 'postgres', 60), 'no default partition');
(my $stray = $hit->{_id}) =~ s/2024-\d\d-\d\d/2090-01-01/;
$search->request('PUT', "/$whole/_doc/$stray?refresh=true", $hit->{_source});
is(sql('SELECT sum(ghost) FROM tenancy.verify()'), 1, 'a document that no partition has is seen') or diag($stray);
sql(q{SELECT FROM tenancy.verify(repair => true)});
gets(q{SELECT sum(ghost) FROM tenancy.verify()}, 0, 'and goes');

# The index itself is lost; a month of the new one while the alias cannot be moved.
$search->request('DELETE', "/$whole");
sql(q{SELECT tenant_rename('one', 'uno')});
ok(wait_until(sub { ($search->request('GET', "/_alias/event_tenant_uno"))[0] == 200 && ($search->request('GET', "/$whole"))[0] == 200 }, 60), 'a lost index is made again, renamed') or diag(state_text());
sql(q{SELECT tenant_rename('uno', 'one')});
gets(q{SELECT count(*) FROM tenancy.search_index WHERE state <> 'ready'}, '0', 'and back');
agree('renamed');
$search->request('PUT', '/stranger');
$search->request('POST', '/_aliases', { actions => [ { add => { index => 'stranger', alias => 'event_tenant_one' } } ] });
sql(q{SELECT tenancy.reindex('one', 'event')});
gets(q{SELECT phase, last_error LIKE '%belongs to another index' FROM tenancy.stat_progress_reindex}, 'switching|t', 'an alias that is not ours alone is not moved');
my $month = sql(q{SELECT m.index_name FROM tenancy.search_index m JOIN tenancy.index_move v ON v.to_index = m.month_of WHERE m.index_name LIKE '%-20240101'});
$search->request('DELETE', "/$month");
$search->request('DELETE', '/stranger');
over('a month was lost');
agree('a month was lost');
like(months(), qr/^20240101:50 20240201:50 20240301:0 whole:0$/, 'it is there again');
$node->stop;
$search->stop;
done_testing();
