# The recipe of docs/guarded-fill.md as it stands there, with redis-py: another client fills the cache and brings no old value back.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TenancyTest;

need_servers('redis');
my $dir = PostgreSQL::Test::Utils::tempdir();
plan(skip_all => 'redis-py can\'t be had here')
  if system("/usr/bin/env python3 -m pip install -q --disable-pip-version-check --target '$dir/lib' redis >'$dir/pip.log' 2>&1");
my $root = __FILE__ =~ s{[^/]*$}{../..}r;
my ($recipe) = slurp_file("$root/docs/guarded-fill.md") =~ /^```python\n(.*?)^```/ms or die 'no recipe';

my $redis = TenancyRedis->start;
my $node = tenancy_node('plain', redis => $redis);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_tenancy;
SELECT tenant_blueprint_add('box', 1, 'CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL)');
SELECT tenant_sync_table('box', 'item', cache_keys => ARRAY['item:{id}'], cache_tags => ARRAY['items']);
SELECT tenant_create('one', 'box');
INSERT INTO tenant_one.item SELECT g, 0 FROM generate_series(1, 10) g;
SQL
ok(sync_wait($node, 'postgres', 60), 'start');
ok(wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30), 'the mark is there');

# A cursor by psql that says "read" when it has read and goes on when it is told to.
open(my $file, '>', "$dir/client.py") or die $!;
print $file <<"PYTHON", $recipe, <<'PYTHON';
import json, secrets, subprocess, sys
sys.path.insert(0, "$dir/lib")
import redis as module
psql = ["psql", "-XqAt", "-F", "\\t", "-h", "@{[ $node->host ]}", "-p", "@{[ $node->port ]}", "-d", "postgres", "-c"]
server = module.Redis(host="127.0.0.1", port=@{[ $redis->port ]})
PYTHON
script = subprocess.run(psql + ["SELECT tenant_cache_fill_script()"], capture_output=True, text=True, check=True).stdout.rstrip("\n")
redis = server

class Cursor:
    def execute(self, sql):
        self.row = subprocess.run(psql + [sql], capture_output=True, text=True, check=True).stdout.rstrip("\n").split("\t")
        print("read", flush=True)
        sys.stdin.readline()
    def fetchone(self):
        return self.row[0], self.row[1], json.loads(self.row[2])

PYTHON
close $file;
# The script is registered after `redis` is known.
my $text = slurp_file("$dir/client.py");
$text =~ s/^fill = .*\n//m;
$text .= <<'PYTHON';
fill = redis.register_script(script)
for line in sys.stdin:
    key, query, *tags = line.rstrip("\n").split("\t")
    print("value", json.dumps(cached(redis, Cursor(), "one", key, query, tags=tags)), flush=True)
PYTHON
open($file, '>', "$dir/client.py") or die $!;
print $file $text;
close $file;

my ($in, $out) = ('', '');
my $timer = IPC::Run::timer(120);
my $client = IPC::Run::start([ 'python3', "$dir/client.py" ], '<', \$in, '>', \$out, $timer);

# Asks for a value; the code runs when the client has read it and not yet stored.
sub cached
{
	my ($code, @line) = @_;
	$out = '';
	$in .= join("\t", @line) . "\n";
	$timer->start(120);
	$client->pump until $out =~ /^(?:read|value .*)\n/m;
	if ($out !~ /^value/m)
	{
		$code->();
		$in .= "\n";
		$client->pump until $out =~ /^value .*\n/m;
	}
	return $out =~ /^value (.*)/m ? $1 : undef;
}

sub value { return redis_cmd($redis, 'GET', "tenant:one:$_[0]") }
sub change { $node->safe_psql('postgres', $_[0]); ok(sync_wait($node, 'postgres', 60), 'a change is in the sink'); return }
my @item = ('item:1', 'SELECT to_jsonb(n) FROM tenant_one.item WHERE id = 1');
my $nothing = sub { };

is(cached($nothing, @item), 0, 'read and stored');
is(value('item:1'), 0, 'it is there');
is(cached(sub { fail('not read again') }, @item), 0, 'found');
is($node->safe_psql('postgres', "BEGIN; SELECT FROM tenant_use('one'); SELECT tenant_cache_get('item:1'); COMMIT") =~ s/\s//gr, 0, 'by SQL too');
change('UPDATE tenant_one.item SET n = 1 WHERE id = 1');
is(value('item:1'), undef, 'unlinked by a change');
is(cached(sub { change('UPDATE tenant_one.item SET n = 2 WHERE id = 1') }, @item), 1, 'a change between reading and storing');
is(value('item:1'), undef, 'nothing is stored');
is(cached(sub { change('UPDATE tenant_one.item SET n = 3 WHERE id = 1'); redis_cmd($redis, 'SET', 'tenant:one:#lease:item:1', 'x') }, @item), 2, 'the same');
redis_cmd($redis, 'DEL', 'tenant:one:#lease:item:1');
redis_cmd($redis, 'SCRIPT', 'FLUSH');
is(cached($nothing, @item), 3, 'scripts flushed: read');
is(value('item:1'), 3, 'scripts flushed: stored');
my @list = ('list', 'SELECT to_jsonb(count(*)) FROM tenant_one.item', 'items');
is(cached(sub { change('INSERT INTO tenant_one.item VALUES (11, 0)') }, @list), 10, 'a tag changes between');
is(value('list'), undef, 'nothing is stored');
is(cached($nothing, @list), 11, 'later');
is(value('list'), 11, 'it is stored');
change('INSERT INTO tenant_one.item VALUES (12, 0)');
is(value('list'), undef, 'and unlinked by its tag');
redis_cmd($redis, 'FLUSHALL');
ok(wait_until(sub { @{ redis_cmd($redis, 'KEYS', 'tenant:#mark:*') } == 1 }, 30), 'Redis is emptied: the mark comes back');
is(cached($nothing, @list), 12, 'emptied: read');
is(value('list'), 12, 'emptied: stored');
$client->pump_nb;
$client->finish;
done_testing();
