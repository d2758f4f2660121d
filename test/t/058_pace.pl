# Back-pressure: requests become smaller, fewer and later as the server asks for it, nothing is lost, and all is as before when it is well.

use strict;
use warnings;
use POSIX qw(strftime);
use Test::More;
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;
use TenancyProxy;

need_servers('elasticsearch7');
$ENV{SEARCH_SETTINGS} = 'http.max_content_length: 512kb';
my $search = TenancySearch->start('elasticsearch7');
my $proxy = TenancyProxy->start(target => $search->port, http => 1);
my $node = tenancy_node('pace', conf => <<CONF);
tenancy.search_url = '@{[ $proxy->url ]}'
tenancy.search_lanes = 4
tenancy.bulk_actions = 1000
tenancy.retry_max = 1s
tenancy.search_timeout = 60s
CONF
$node->start;
my $bulk = qr{_bulk};
my @tenants = map { "t$_" } 1 .. 8;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub synced { return sync_wait($node, 'postgres', 120) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }

# What is said of the search sink's lanes: aggregate of a column.
sub lanes { return sql("SELECT $_[0] FROM tenancy.stat_sync_lanes WHERE sink = 'search'") }
sub stat_of { return sql("SELECT $_[0] FROM tenancy.stat_sync WHERE sink = 'search'") }

sub insert
{
	my ($tenant, $rows, $bytes) = @_;
	return sql("INSERT INTO tenant_$tenant.case_studies (title, full_text) SELECT 'row ' || n, repeat('x', $bytes) FROM generate_series(1, $rows) n");
}

# Sets a setting and waits until the worker has it: it connects anew.
sub reload_with
{
	my ($line) = @_;
	my $before = $proxy->count(qr{^GET /$});
	$node->append_conf('postgresql.conf', $line);
	$node->reload;
	return wait_until(sub { $proxy->count(qr{^GET /$}) > $before && state_of($node, 'postgres', 'search') eq 'running' }, 60);
}

# Sends rows, a batch each, until the lanes may have all again.
sub recovers
{
	my ($name) = @_;
	my $good = wait_until(sub {
		insert('t1', 40, 10);
		sync_wait($node, 'postgres', 60);
		lanes('min(limit_actions), max(lanes_allowed)') eq '1000|4';
	}, 90);
	ok($good, "$name: as before when the server is well") or diag(lanes('string_agg(stat_sync_lanes::text, E\'\n\')'));
	return;
}

sql('CREATE EXTENSION pg_tenancy', map { "SELECT tenant_create('$_')" } @tenants);
agrees('start');
is(lanes(q{string_agg(lane::text, ',' ORDER BY lane)}), '0,1,2,3', 'the view has every lane');
is(lanes('max(limit_actions), max(limit_bytes), sum(in_flight), min(lanes_allowed)'), '1000|5242880|0|4', 'with what the settings allow');

# The server takes no request for a while.
my $faulty = sub {
	my ($name, $bulks, @fault) = @_;
	my $before = $proxy->count($bulk);
	$proxy->fault(@fault, match => $bulk);
	insert('t1', 2000, 10);
	ok(wait_until(sub { lanes('max(limit_actions)') < 1000 }, 60), "$name: smaller requests");
	ok(wait_until(sub { lanes('max(lanes_allowed)') == 1 }, 60), "$name: one at a time");
	sleep 2;
	cmp_ok($proxy->count($bulk) - $before, '<', $bulks, "$name: no storm of retries");
	is(state_of($node, 'postgres', 'search'), 'running', "$name: no reason to stop");
	$proxy->clear;
	ok(synced(), "$name: everything is in the sinks");
	recovers($name);
};
$faulty->('429', 60, 'status', code => 429, body => '{"error":{"type":"es_rejected_execution_exception","reason":"proxy"},"status":429}');
$faulty->('503', 60, 'status', code => 503, body => 'Service Unavailable');
$faulty->('throttled by 403', 60, 'status', code => 403, body => '{"message":"403 Request throttled due to too many requests"}');

# A 403 that means what it says.
$proxy->fault('status', code => 403, body => '{"error":{"type":"security_exception","reason":"no"},"status":403}', match => $bulk);
insert('t1', 10, 10);
ok(wait_until(sub { state_of($node, 'postgres', 'search') eq 'unauthorized' }, 60), '403: unauthorized');
$proxy->clear;
agrees('429, 503, 403');

# Retry-After: nobody asks again before, however short the back-off is.
for my $after ([ 'seconds', 3600 ], [ 'a date', strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 3600)) ])
{
	$proxy->fault('status', code => 429, headers => ["Retry-After: $after->[1]"], match => $bulk, times => 1);
	insert('t1', 100, 10);
	ok(wait_until(sub { lanes(q{count(*) FILTER (WHERE state = 'backing off')}) == 4 }, 60), "Retry-After, $after->[0]: every lane waits");
	my $asked = $proxy->count($bulk);
	sleep 3;
	is($proxy->count($bulk), $asked, "Retry-After, $after->[0]: nobody asks again");
	cmp_ok(stat_of('dirty'), '>', 0, "Retry-After, $after->[0]: rows wait");
	ok(reload_with(''), "Retry-After, $after->[0]: reload");
	ok(synced(), "Retry-After, $after->[0]: a reload ends it");
}

# More than the server takes at once: it is learned, and then stayed below.
insert('t2', 2000, 2000);
ok(synced(), '413: everything is in the sinks');
cmp_ok(lanes('max(limit_bytes)'), '<', 1024 * 1024, '413: the limit is learned');
my $refused = grep { ($_->{status} // 0) == 413 } $proxy->requests($bulk);
cmp_ok($refused, '>', 0, '413: it came to that');
insert('t3', 2000, 2000);
agrees('413 again');
my $later = grep { ($_->{status} // 0) == 413 } $proxy->requests($bulk);
cmp_ok($later - $refused, '<=', 4, '413: stayed below');
is(stat_of('dead'), 0, '413: no dead letter');

# Directly, without a proxy that takes the whole body first; and a document that is too large all alone.
my $log = -s $node->logfile;
$node->append_conf('postgresql.conf', "tenancy.search_url = '" . $search->url . "'\n");
$node->reload;
is(sql(q{SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE backend_type = 'pg_tenancy search sink'}), 1, 'directly, by a worker that has to learn it anew');
sql(q{INSERT INTO tenant_t4.case_studies (title, full_text) SELECT 'large ' || n, repeat('z', 900000 * (n % 2)) FROM generate_series(1, 6) n}, 'UPDATE tenant_t3.case_studies SET title = title');
ok(sync_wait($node, 'postgres', 120), 'too large alone: the rest goes on');
is(sql('SELECT count(*), min(status) FROM tenancy.dead_letter'), '3|413', 'too large alone: dead letters');
like(sql('SELECT reason FROM tenancy.dead_letter LIMIT 1'), qr/does not take a request of 9\d{5} bytes/, 'too large alone: with the size');
is($search->count('case_studies_tenant_t4'), 3, 'too large alone: those beside them are there');
sql(q{UPDATE tenant_t4.case_studies SET full_text = 'short' WHERE full_text <> ''});
agrees('made shorter');
is(stat_of('dead'), 0, 'made shorter: no letter is left');
cmp_ok(lanes('max(limit_bytes)'), '<', 1024 * 1024, 'directly: learned too');
is(() = slurp_file($node->logfile, $log) =~ /is unreachable/g, 0, 'all the while the server was there');

# The server becomes slow.
ok(reload_with("tenancy.search_url = '" . $proxy->url . "'\ntenancy.search_timeout = 6s\n"), 'by the proxy');
recovers('before it is slow');
$proxy->fault('delay', ms => 1000, match => $bulk);
my $slow = wait_until(sub { insert('t5', 200, 10); lanes('max(lanes_allowed)') < 4 }, 90);
ok($slow, 'slow: fewer requests at a time');
$proxy->clear;
$proxy->fault('delay', ms => 3500, match => $bulk);
ok(wait_until(sub { insert('t5', 200, 10); lanes('max(limit_actions)') < 1000 }, 90), 'nearly too slow: smaller requests, before one is too late');
$proxy->clear;
ok(synced(), 'slow: everything is in the sinks');
$proxy->fault('stall', match => $bulk);
insert('t5', 2000, 10);
ok(wait_until(sub { lanes('min(limit_actions)') < 500 }, 60), 'too slow: smaller still');
$proxy->clear;
recovers('too slow');
# Items are refused one by one by the server itself: its queue has two places, and each of eight indices needs one.
$search->stop;
$ENV{SEARCH_SETTINGS} = "thread_pool.write.size: 1\nthread_pool.write.queue_size: 2";
$search->start;
agrees('another server');
my ($docs, $retries) = split /\|/, stat_of('docs, retries');
sql(map { "INSERT INTO tenant_$_.case_studies (title, full_text) SELECT 'many ' || n, repeat('y', 500) FROM generate_series(1, 300) n" } @tenants) for 1 .. 3;
agrees('429 for items');
my ($docs_now, $retries_now) = split /\|/, stat_of('docs, retries');
cmp_ok($retries_now, '>', $retries, '429 for items: some were refused');
is($docs_now - $docs, 3 * 300 * @tenants, '429 for items: only those were sent again');
is(stat_of('dead'), 0, 'no dead letter');
done_testing();
