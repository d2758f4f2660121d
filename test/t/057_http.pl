# The way to the search server: TLS, credentials from a file, several hosts, gzip; and no secret shows anywhere.

use strict;
use warnings;
use IPC::Run ();
use MIME::Base64 qw(encode_base64);
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyLoad;
use TenancyProxy;

need_servers('elasticsearch7');
my $search = TenancySearch->start('elasticsearch7');
my $dir = $PostgreSQL::Test::Utils::tmp_check;
my $bulk = qr{_bulk};
my @secrets = ('hemlig-one', 'hemlig-two', 'aGVtbGlnOmtleQ==');

# Certificates: two authorities, and what the first one signed.
sub openssl
{
	my @arguments = @_;
	my $err;
	IPC::Run::run([ 'openssl', @arguments ], '>', \my $out, '2>', \$err) or die "openssl @arguments: $err";
	return;
}

sub authority
{
	my ($name) = @_;
	openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', 30, '-subj', "/CN=$name", '-keyout', "$dir/$name.key", '-out', "$dir/$name.pem");
	return;
}

sub certificate
{
	my ($name, $alternative, $days) = @_;
	openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$name", '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
	append_to_file("$dir/$name.ext", "subjectAltName=$alternative\n");
	openssl('x509', '-req', '-in', "$dir/$name.csr", '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-days', $days, '-extfile', "$dir/$name.ext", '-out', "$dir/$name.pem");
	chmod 0600, "$dir/$name.key";
	return;
}
authority($_) for qw(ca other);
certificate('server', 'DNS:localhost,IP:127.0.0.1', 30);
certificate('stranger', 'DNS:search.example', 30);
certificate('expired', 'DNS:localhost,IP:127.0.0.1', -1);
certificate('client', 'DNS:client', 30);

sub tls { return { cert => "$dir/$_[0].pem", key => "$dir/$_[0].key" } }

# Writes the file with the credentials.
sub credentials
{
	my ($line, $mode) = @_;
	unlink "$dir/auth";
	append_to_file("$dir/auth", "$line\n");
	chmod $mode // 0600, "$dir/auth";
	return;
}

my $basic = sub { 'Basic ' . encode_base64("elastic:$_[0]", '') };
my @proxies = map { TenancyProxy->start(target => $search->port, tls => tls('server'), require_auth => $basic->($secrets[0])) } 1 .. 2;
my $both = join ' , ', map { $_->url . '/' } @proxies;
credentials("elastic:$secrets[0]");
my $node = tenancy_node('http', conf => <<CONF);
tenancy.search_url = '$both'
tenancy.search_auth_file = '$dir/auth'
tenancy.search_ca_file = '$dir/ca.pem'
tenancy.retry_max = 500ms
tenancy.search_timeout = 60s
CONF
$node->start;

sub sql { return $node->safe_psql('postgres', join(';', @_)) }
sub agrees { return all_agree($node, 'postgres', $search, @_) }
sub insert { return sql("INSERT INTO tenant_$_[0].case_studies (title, full_text) SELECT 'row ' || n, repeat('text ', 20) FROM generate_series(1, $_[1]) n") }
sub last_error { return sql("SELECT coalesce(last_error, '') FROM tenancy.stat_sync WHERE sink = 'search'") }

sub becomes
{
	my ($state, $name) = @_;
	ok(wait_until(sub { state_of($node, 'postgres', 'search') eq $state }, 60), "$name: $state")
	  or diag(state_of($node, 'postgres', 'search') . ' ' . last_error());
	return;
}

sub set
{
	$node->append_conf('postgresql.conf', join("\n", @_) . "\n");
	$node->reload;
	return;
}

# In a session of its own: which engine finds how many, or the error.
sub search_in
{
	my ($tenant) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "BEGIN; DO \$\$ BEGIN PERFORM tenant_use('$tenant'); END \$\$; "
		  . "SELECT r->>'engine', r->>'total' FROM (SELECT tenant_search('row', options => '{\"engine\": \"server\"}') r OFFSET 0) s; COMMIT");
	return $rc == 0 ? $out : $err;
}

# TLS and basic authentication, two hosts.
sql('CREATE EXTENSION pg_tenancy', "SELECT tenant_create('one')", "SELECT tenant_create('two')");
insert('one', 3000);
agrees('TLS and basic');
cmp_ok($_->count($bulk), '>', 0, 'a host has its share') for @proxies;
is($_->count('unauthorized'), 0, 'credentials came with the first request') for @proxies;
is($_->count('gzip'), 0, 'plain, as long as gzip is off') for @proxies;
is(search_in('one'), 'elasticsearch|3000', 'tenant_search too');

# gzip.
set('tenancy.search_compression = gzip');
becomes('running', 'gzip');
insert('one', 2000);
agrees('gzip');
cmp_ok($proxies[0]->count('gzip') + $proxies[1]->count('gzip'), '>', 0, 'gzip: seen on the way');
for my $status (415, 400)
{
	set('');
	becomes('running', "gzip refused with $status");
	$_->fault('status', code => $status, match => $bulk, times => 1, body => 'no') for @proxies;
	insert('one', 1000);
	agrees("gzip refused with $status");
	is(sql('SELECT count(*) FROM tenancy.dead_letter'), 0, "gzip refused with $status: no dead letter");
	$_->clear for @proxies;
	my $seen = $proxies[0]->count('gzip') + $proxies[1]->count('gzip');
	insert('two', 1000);
	agrees("gzip refused with $status, plain");
	is($proxies[0]->count('gzip') + $proxies[1]->count('gzip'), $seen, "gzip refused with $status: remembered");
}
set('tenancy.search_compression = off');

# One of two hosts goes, then both.
becomes('running', 'before a host goes');
my $load = start_load($node, 'postgres');
ok(wait_until(sub { load_runs($load) >= 2 }, 60), 'rows flow');
my $log = -s $node->logfile;
$proxies[0]->fault('refuse', connections => 'reset');
ok(wait_until(sub { slurp_file($node->logfile, $log) =~ /is unreachable/ }, 60), 'one host gone: noticed');
my $runs = load_runs($load);
ok(wait_until(sub { load_runs($load) >= $runs + 2 }, 60), 'one host gone: rows flow on');
stop_load($load);
agrees('one host gone');
is(state_of($node, 'postgres', 'search'), 'running', 'one host gone: running');
my $url = $proxies[0]->url;
like(last_error(), qr/^\Q$url\E: /, 'one host gone: last_error names it');
like(search_in('one'), qr/^elasticsearch\|/, 'one host gone: tenant_search') for 1 .. 3;
$load = start_load($node, 'postgres');
$proxies[1]->fault('refuse', connections => 'reset');
becomes('unreachable', 'both hosts gone');
like(search_in('one'), qr/search server/, 'both hosts gone: tenant_search says so');
my $before = $proxies[0]->count($bulk);
$proxies[0]->clear;
becomes('running', 'the first is back');
stop_load($load);
agrees('the first is back');
$proxies[1]->clear;
ok(wait_until(sub { my $n = $proxies[1]->count($bulk); insert('two', 10); sync_wait($node, 'postgres', 60); $proxies[1]->count($bulk) > $n }, 60), 'the second is back: it has its share again');
cmp_ok($proxies[0]->count($bulk), '>', $before, 'so has the first');

# A host of another cluster.
my $foreign = '{"name":"x","cluster_uuid":"SomeOtherClusterUuid12","version":{"number":"7.17.15"}}';
$proxies[1]->fault('status', code => 200, body => $foreign, match => qr{^GET /$});
my $asked = $proxies[1]->count($bulk);
my $searches = $proxies[1]->count(qr{_search});
my $identity = sql("SELECT identity FROM tenancy.sink WHERE name = 'search'");
set('');
ok(wait_until(sub { last_error() =~ /it belongs to cluster SomeOtherClusterUuid12/ }, 60), 'another cluster: said so') or diag(last_error());
becomes('running', 'another cluster');
insert('two', 100);
agrees('another cluster');
is($proxies[1]->count($bulk), $asked, 'another cluster: gets nothing');
like(search_in('two'), qr/^elasticsearch\|/, 'another cluster: tenant_search') for 1 .. 4;
is($proxies[1]->count(qr{_search}), $searches, 'another cluster: is not searched');
$proxies[0]->fault('refuse', connections => 'reset');
insert('two', 10);
becomes('unreachable', 'another cluster, and ours is down');
$node->restart;
becomes('unreachable', 'another cluster, and ours is down at start');
is(sql("SELECT identity FROM tenancy.sink WHERE name = 'search'"), $identity, 'another cluster: not taken over');
$_->clear for @proxies;
becomes('running', 'both are of one cluster again');

# Credentials: a file that others can read, rotation with and without a reload, an API key.
credentials("elastic:$secrets[0]", 0644);
set('');
becomes('unreachable', 'file for all to read');
like(last_error(), qr/can be read by others/, 'file for all to read: refused');
credentials("elastic:$secrets[0]");
becomes('running', 'file for the server alone');

# Starts both proxies again with other credentials.
sub demand
{
	my ($auth, $certificate) = @_;
	for my $proxy (@proxies)
	{
		my $port = $proxy->port;
		$proxy->stop;
		$proxy = TenancyProxy->start(target => $search->port, port => $port, tls => tls($certificate // 'server'), require_auth => $auth);
	}
	return;
}
demand($basic->($secrets[1]));
insert('one', 10);
becomes('unauthorized', 'the server wants other credentials');
like(search_in('one'), qr/answered 401/, 'tenant_search says so');
credentials("elastic:$secrets[1]");
becomes('running', 'the file has them, nobody reloads');
agrees('other credentials');
demand("ApiKey $secrets[2]");
credentials("ApiKey $secrets[2]");
insert('one', 10);
agrees('an API key');
like(search_in('one'), qr/^elasticsearch\|/, 'an API key: tenant_search');

# Certificates.
set("tenancy.search_ca_file = '$dir/other.pem'");
becomes('unreachable', 'another authority');
like(last_error(), qr/certificate/i, 'another authority: why');
like(search_in('one'), qr/certificate|none of its hosts/i, 'another authority: tenant_search');
set("tenancy.search_ca_file = '$dir/missing.pem'");
becomes('unreachable', 'no such authority');
set("tenancy.search_ca_file = '$dir/ca.pem'");
becomes('running', 'the right authority');
for my $bad ([ stranger => qr/subject name|host ?name/i ], [ expired => qr/expired/i ])
{
	demand("ApiKey $secrets[2]", $bad->[0]);
	set('');
	becomes('unreachable', $bad->[0]);
	ok(wait_until(sub { last_error() =~ $bad->[1] }, 30), "$bad->[0]: why") or diag(last_error());
}

# A server that wants to know who we are: openssl answers with a page, to a client with a certificate.
my $port = TenancyServer::free_port();
my $strict = IPC::Run::start([ 'openssl', 's_server', '-accept', $port, '-cert', "$dir/server.pem", '-key', "$dir/server.key", '-CAfile', "$dir/ca.pem", '-Verify', 1, '-verify_return_error', '-www', '-quiet' ], '<', \undef, '>', \my $out, '2>', \my $err);
set("tenancy.search_url = 'https://127.0.0.1:$port'");
ok(wait_until(sub { last_error() =~ /alert|required|handshake|SSL/i }, 60), 'no client certificate: refused') or diag(last_error());
set("tenancy.search_cert_file = '$dir/client.pem'", "tenancy.search_key_file = '$dir/client.key'");
ok(wait_until(sub { last_error() =~ /is not that of a search server/ }, 60), 'client certificate: let in') or diag(last_error());
$strict->kill_kill;

# Back to what works, then no secret is anywhere.
demand("ApiKey $secrets[2]");
set("tenancy.search_url = '$both'", "tenancy.search_cert_file = ''", "tenancy.search_key_file = ''", 'log_min_messages = debug5');
insert('two', 10);
agrees('the end');
like(search_in('two'), qr/^elasticsearch\|/, 'the end: tenant_search');
my $seen = slurp_file($node->logfile) . sql(<<'SQL');
SELECT query_to_xml(format('SELECT * FROM %s', v), true, true, '')
FROM unnest(ARRAY['pg_settings', 'pg_file_settings', 'pg_stat_activity', 'tenancy.stat_sync', 'tenancy.stat_sync_lanes', 'tenancy.sink', 'tenancy.search_index', 'tenancy.dead_letter', 'tenancy.resync']) v
SQL
for my $pid (split /\n/, sql('SELECT pid FROM pg_stat_activity'))
{
	$seen .= slurp_file("/proc/$pid/cmdline") if -r "/proc/$pid/cmdline";
	$seen .= slurp_file("/proc/$pid/environ") if -r "/proc/$pid/environ";
}
for my $secret (@secrets)
{
	my $encoded = encode_base64("elastic:$secret", '');
	is(() = $seen =~ /\Q$secret\E|\Q$encoded\E/g, 0, 'a secret shows nowhere');
}
cmp_ok(length $seen, '>', 100_000, 'it was looked for in something');
done_testing();
