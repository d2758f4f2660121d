# Replies that no healthy Redis gives: neither a backend nor the worker crashes or believes them.

use strict;
use warnings;
use Test::More;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

# Answers each command with the text in a file; SCRIPT LOAD and INFO as Redis does.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 20, ReuseAddr => 1) or die $!;
my $url = 'redis://127.0.0.1:' . $socket->sockport . '/0';

# The file's text: what the next commands are answered with, see answer_to.
sub say_next
{
	my ($text) = @_;
	open(my $file, '>', "$dir/answer.new") or die $!;
	print $file $text;
	close $file;
	rename("$dir/answer.new", "$dir/answer") or die $!;
	return;
}

# One command of the protocol: its words.
sub read_command
{
	my ($client) = @_;
	my $line = <$client> // return;
	my ($n) = $line =~ /^\*(\d+)/ or return;
	my @words;
	for (1 .. $n)
	{
		my ($length) = (<$client> // return) =~ /^\$(\d+)/ or return;
		read($client, my $word, $length + 2);
		push @words, substr($word, 0, $length);
	}
	return @words;
}

# The answer: what follows a zero byte is for scripts of five keys.
sub answer_to
{
	my (@words) = @_;
	my ($text, $five) = split /\0/, slurp_file("$dir/answer");
	return defined $five && ($words[2] // '') eq '5' ? $five : $text;
}

# Serves one client.
sub serve
{
	my ($client) = @_;
	while (my @words = read_command($client))
	{
		my $info = "run_id:1\r\nmaster_replid:2\r\nmaxmemory_policy:noeviction\r\n";
		my $command = uc $words[0];
		print $client $command eq 'SCRIPT' ? '$40' . "\r\n" . ('a' x 40) . "\r\n"
		  : $command eq 'INFO' ? '$' . length($info) . "\r\n$info\r\n"
		  : $command eq 'SELECT' ? "+OK\r\n"
		  : answer_to(@words);
		$client->flush;
	}
	return;
}

say_next("+OK\r\n");
my $pid = fork // die $!;
if ($pid == 0)
{
	$SIG{CHLD} = 'IGNORE';
	while (my $client = $socket->accept)
	{
		next if fork;
		serve($client);
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}
END { local $?; kill 'TERM', $pid if $pid }

my $node = tenancy_node('replies', conf => "tenancy.redis_url = '$url'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['items']);
SELECT tenant_create('one', 'box');
SQL

my @calls = (
	q{tenant_cache_get('k')}, q{tenant_cache_set('k', '1', tags => '{t}')}, q{tenant_cache_delete('k')},
	q{tenant_cache_fetch('k', 'SELECT to_jsonb(1)')}, q{tenant_cache_invalidate('k*')}, q{tenant_cache_invalidate_tag('t')},
	q{tenant_cache_stats()});
my $start = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
my $log = -s $node->logfile;
for my $answer ("+OK\r\n", "+QUEUED\r\n", "\$-1\r\n", ":-7\r\n", ":1000000\r\n", "\$0\r\n\r\n", "\$1\r\n \r\n", "\$3\r\n1 x\r\n", "\$30\r\n" . ('9' x 28) . " 1\r\n", "*1\r\n+OK\r\n", "-ERR no\r\n")
{
	say_next($answer);
	my $name = $answer =~ s/\r\n/ /gr;
	for my $call (@calls)
	{
		my ($rc) = $node->psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); SET LOCAL statement_timeout = '20s'; SELECT $call; COMMIT");
		is($rc, 0, "$name: $call");
	}
	say_next("$answer\0:1\r\n");
	is(($node->psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); SELECT tenant_cache_invalidate('k*'); COMMIT"))[0], 0, "$name: the second step of an invalidation");
	$node->safe_psql('postgres', 'INSERT INTO tenant_one.item SELECT coalesce(max(id), 0) + 1, 0 FROM tenant_one.item');
	say_next($answer);
	is($node->safe_psql('postgres', "SELECT tenancy.sync_wait('300 ms')"), 'f', "$name: the worker does not take it for done");
}
sleep 2;
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $start, 'the server is up');
unlike(slurp_file($node->logfile, $log), qr/terminated by signal|was terminated|invalid memory alloc/, 'nothing has crashed');
$node->stop;
done_testing();
