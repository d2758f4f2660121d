# The fault proxy does what it is told, no more: else no test behind it is worth anything.

use strict;
use warnings;
use HTTP::Tiny;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;
use TenancyProxy;

need_servers('elasticsearch7', 'redis');
my $search = TenancySearch->start('elasticsearch7');
my $redis = TenancyRedis->start;
my $proxy = TenancyProxy->start(target => $search->port, http => 1);
my $base = $proxy->url;
my $patience = 20;

# Status, text of one request on a connection of its own; 599: none.
sub ask
{
	my ($method, $path, $body, %headers) = @_;
	my $http = HTTP::Tiny->new(timeout => $patience, keep_alive => 0, http_proxy => undef, proxy => undef);
	my $reply = $http->request($method, "$base$path", { headers => { 'Content-Type' => 'application/json', %headers }, defined $body ? (content => $body) : () });
	return wantarray ? ($reply->{status}, $reply->{content}, $reply->{headers}) : $reply->{status};
}

# What the server itself has.
sub stored { return defined $search->document('x', $_[0]) ? 1 : 0 }
# POST, since HTTP::Tiny itself asks again for the others.
sub put { return ask('POST', "/x/_doc/$_[0]", '{"a": 1}') }

# Nothing on: everything goes through, small and large, on one connection and on many.
is(put(1), 201, 'goes through');
is(stored(1), 1, 'is there');
my $http = HTTP::Tiny->new(timeout => 20, http_proxy => undef, proxy => undef);
my $large = join '', map { qq({"index":{"_id":"b$_"}}\n) . '{"t":"' . 'x' x 1000 . qq("}\n) } 1 .. 4000;
my $bulk = $http->post("$base/x/_bulk", { content => $large, headers => { 'Content-Type' => 'application/x-ndjson' } });
is($bulk->{status}, 200, 'four megabytes');
is(() = $bulk->{content} =~ /"status":201/g, 4000, 'the whole answer');
is($http->head("$base/x")->{status}, 200, 'HEAD on the same connection');
is($http->get("$base/x/_doc/b4000")->{status}, 200, 'then GET');
is($proxy->count('connections'), 2, 'two connections');
is(system("head -c 3000000 /dev/zero | curl -sS --noproxy '*' -o /dev/null -X POST -T - '$base/_nothing' -H 'Expect: 100-continue'"), 0, 'chunks and 100-continue');
is($proxy->count(qr{/_bulk}), 1, 'counted by path');
is($proxy->count('faults'), 0, 'no fault so far');
is(system("printf '{}' | gzip | curl -sS --noproxy '*' -o /dev/null -X POST --data-binary \@- '$base/x/_doc/gz' -H 'Content-Type: application/json' -H 'Content-Encoding: gzip'"), 0, 'gzip');
is($proxy->count('gzip'), 1, 'counted as such');

# Each fault, with what the server has afterwards.
$proxy->fault('status', code => 429, headers => ['Retry-After: 7'], body => 'no', match => qr{/x/_doc}, times => 1);
is(ask('GET', '/'), 200, 'status: another path');
my ($status, $text, $headers) = ask('POST', '/x/_doc/2', '{}');
is("$status $text $headers->{'retry-after'}", '429 no 7', 'status: what was asked for');
is(stored(2), 0, 'status: the server does not know');
is(put(2), 201, 'status: only once');
$proxy->fault('drop_reply', times => 1);
is(put(3), 599, 'drop_reply: no answer');
is(stored(3), 1, 'drop_reply: but done');
$proxy->fault('reset', when => 'before', times => 1);
is(put(4), 599, 'reset before: no answer');
is(stored(4), 0, 'reset before: not done');
$proxy->fault('reset', times => 1);
is(put(4), 599, 'reset: no answer');
is(stored(4), 1, 'reset: done');
$proxy->fault('half_close', times => 1);
is(put(5), 599, 'half_close: no answer');
is(stored(5), 1, 'half_close: done');
$proxy->fault('truncate', match => qr/_search/, times => 1);
isnt(ask('POST', '/x/_search'), 200, 'truncate: half an answer');
$patience = 1;
$proxy->fault('stall', times => 1);
is(put(6), 599, 'stall: time-out');
is(stored(6), 1, 'stall: done');
$proxy->fault('stall', when => 'before', times => 1);
is(put(7), 599, 'stall before: time-out');
$patience = 20;
is(stored(7), 0, 'stall before: not done');
my $started = time;
$proxy->fault('delay', ms => 700, times => 1);
is(put(7), 201, 'delay: done');
cmp_ok(time - $started, '>=', 0.7, 'delay: later');
$proxy->fault('refuse', connections => 'reset');
is(put(8), 599, 'refuse: nobody there');
ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $proxy->port), 'refuse: not even the port');
$proxy->clear;
is(put(8), 201, 'refuse: there again');
my @kinds = map { $_->{fault} // () } $proxy->requests(qr{_doc/\d});
is("@kinds", 'status drop_reply reset reset half_close stall stall delay', 'every fault is noted');

# A share, the same each time.
my @drawn;
for (1 .. 2)
{
	$proxy->fault('status', share => 0.5, seed => 7);
	push @drawn, join '', map { ask('GET', '/') == 503 ? 1 : 0 } 1 .. 40;
	$proxy->clear;
}
is($drawn[0], $drawn[1], 'share: the same each time');
like($drawn[0], qr/^(?=(?:.*1){10})(?=(?:.*0){10})/, 'share: some and some');
$proxy->fault('stall', match => qr/GET/);
$patience = 1;
is(ask('GET', '/'), 599, 'before clear');
$patience = 20;
$proxy->clear;
is(ask('GET', '/'), 200, 'after clear');
ok(wait_until(sub { $proxy->count('open') == 0 }), 'who has gone is forgotten');

# Nobody there at all.
my $nobody = TenancyProxy->start(target => TenancyServer::free_port());
$base = $nobody->url;
is(ask('GET', '/'), 599, 'no server: no answer');
$nobody->stop;

# TLS and who is asking.
my $dir = $PostgreSQL::Test::Utils::tmp_check;
system("openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout '$dir/key.pem' -out '$dir/cert.pem' 2>/dev/null") == 0 or die;
my $tls = TenancyProxy->start(target => $search->port, tls => { cert => "$dir/cert.pem", key => "$dir/key.pem" }, require_auth => 'ApiKey abc');
my $curl = "curl -sS --noproxy '*' --max-time 60 --cacert '$dir/cert.pem'";
my $code = "-o /dev/null -w '%{http_code}'";
is(`$curl $code ${\$tls->url}/`, '401', 'TLS: who is that');
is(`$curl $code -H 'Authorization: ApiKey abc' ${\$tls->url}/`, '200', 'TLS: come in');
is($tls->count('unauthorized'), 1, 'TLS: one was not let in');
my $got = `$curl -H 'Authorization: ApiKey abc' '${\$tls->url}/x/_search?size=1500'`;
is(() = $got =~ /"_source"/g, 1500, 'TLS: a large answer');
PostgreSQL::Test::Utils::append_to_file("$dir/large", $large);
$got = `$curl -H 'Authorization: ApiKey abc' -H 'Content-Type: application/x-ndjson' --data-binary '\@$dir/large' ${\$tls->url}/x/_bulk`;
is(() = $got =~ /"status":200/g, 4000, 'TLS: a large request');
$tls->fault('drop_reply', times => 1);
isnt(system("$curl $code -H 'Authorization: ApiKey abc' ${\$tls->url}/ >/dev/null 2>&1"), 0, 'TLS: dropped');
$tls->fault('half_close', times => 1);
isnt(system("$curl $code -H 'Authorization: ApiKey abc' ${\$tls->url}/ >/dev/null 2>&1"), 0, 'TLS: half closed');
is(`$curl $code -H 'Authorization: ApiKey abc' ${\$tls->url}/`, '200', 'TLS: and then');

# Redis.
my $raw = TenancyProxy->start(target => $redis->port, http => 0);
my $client = bless { port => $raw->port }, 'TenancyRedis';
my $value = 'v' x 300_000;
is($client->cmd('SET', 'k', $value), 'OK', 'Redis: goes through');
is($client->cmd('GET', 'k'), $value, 'Redis: large');
is_deeply($client->cmd('MGET', 'k', 'none'), [ $value, undef ], 'Redis: a list');
is($raw->count(qr/^SET k/), 1, 'Redis: counted');
$raw->fault('status', body => '-OOM no', match => qr/^SET/, times => 1);
ok(!eval { $client->cmd('SET', 'k2', 1); 1 }, 'Redis: refused');
like($@, qr/OOM no/, 'Redis: with what was asked for');
is($redis->cmd('GET', 'k2'), undef, 'Redis: not done');
$raw->fault('drop_reply', times => 1);
ok(!eval { $client->cmd('SET', 'k3', 1); 1 }, 'Redis: dropped');
is($redis->cmd('GET', 'k3'), 1, 'Redis: done');
my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $raw->port) or die $!;
$raw->fault('status', body => '-NO', match => qr/^GET/, times => 1);
print $socket "*2\r\n\$3\r\nGET\r\n\$2\r\nk3\r\n*2\r\n\$3\r\nGET\r\n\$2\r\nk3\r\n*1\r\n\$4\r\nQU";
sleep 1;
print $socket "IT\r\n";
is(do { local $/; <$socket> }, "-NO\r\n-NO\r\n+OK\r\n", 'Redis: one answer a command, the rest later');

# It costs nothing while nothing happens.
my $pid = $proxy->pid;
sub ticks { return (split / /, slurp_file("/proc/$pid/stat"))[13] + (split / /, slurp_file("/proc/$pid/stat"))[14] }
$proxy->fault('stall', match => qr/GET/);
$base = $proxy->url;
my $before = ticks();
$patience = 2;
is(ask('GET', '/'), 599, 'stalled');
cmp_ok(ticks() - $before, '<', 50, 'no busy loop');
$_->stop for $proxy, $tls, $raw;
ok(!kill(0, $pid), 'ended');
done_testing();
