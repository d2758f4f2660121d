# Rounds in which everything dies, stalls and lies while rows flow; after each, nothing may be missing, stale or left over.

package TenancyTorture;

use strict;
use warnings;
use Time::HiRes qw(sleep time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use TenancyTest;
use TenancyLoad;
use TenancyProxy;
use TenancyActors;

my @faults = qw(status429 status503 status403 status413 garbage502 garbage200 drop_reply reset reset_before half_close truncate stall stall_before delay late refuse);
# What a fault of a name is, for TenancyProxy.
my %fault = (
	status429 => [ 'status', code => 429, headers => ['Retry-After: 1'], body => '{"error":"busy","status":429}' ],
	status503 => [ 'status', code => 503, body => '{"error":"not now","status":503}' ],
	status403 => [ 'status', code => 403, body => '{"message":"Too Many Requests: throttled"}' ],
	status413 => [ 'status', code => 413, body => 'Request Entity Too Large', min_bytes => 9000, share => 1 ],
	garbage502 => [ 'status', code => 502, headers => ['Content-Type: text/html'], body => '<html><body>Bad gateway</body></html>' ],
	garbage200 => [ 'status', code => 200, headers => ['Content-Type: text/html'], body => '<html><body>Please log in</body></html>' ],
	drop_reply => ['drop_reply'], reset => ['reset'], half_close => ['half_close'], truncate => ['truncate'], stall => ['stall'],
	reset_before => [ 'reset', when => 'before' ], stall_before => [ 'stall', when => 'before', ms => 1500 ],
	delay => [ 'delay', ms => 400, share => 1 ],
	# arrives when its sender has long given up
	late => [ 'delay', when => 'before', ms => 6000, match => qr/_bulk/ ], refuse => [ 'refuse', connections => 'reset', share => 1 ],
	loading => [ 'status', body => '-LOADING Redis is loading the dataset in memory' ],
	readonly => [ 'status', body => "-READONLY You can't write against a read only replica." ],
	oom => [ 'status', body => '-OOM command not allowed when used memory > \'maxmemory\'.' ],
);
my @redis_faults = qw(drop_reply reset reset_before half_close truncate stall delay refuse loading readonly oom);
my %worker = (capture => 'pg_tenancy capture', search => 'pg_tenancy search sink', cache => 'pg_tenancy cache sink', launcher => 'pg_tenancy launcher');

# Every card of the deck, as often as it comes in it.
sub deck
{
	return ((map { "search $_" } @faults, qw(drop_reply drop_reply reset stall)), (map { "redis $_" } @redis_faults),
		(map { ("kill $_", "kill $_", "end $_") } sort keys %worker), 'search dies', 'search dies', 'search hangs', 'search hangs',
		'redis dies', 'redis dies', 'redis hangs', 'postmaster dies', 'postmaster dies', 'immediate', 'immediate', 'restart', 'slot goes', 'pause search', 'pause cache', 'pause tenant');
}

# new(SEED => ...): servers, proxies and tables.
sub new
{
	my ($class, %option) = @_;
	my $search = TenancySearch->start('elasticsearch7');
	my $redis = TenancyRedis->start;
	my $self = bless { seed => $option{seed}, search => $search, redis => $redis, round => 0, report => $option{report} // sub { } }, $class;
	$self->{search_proxy} = TenancyProxy->start(target => $search->port, http => 1);
	$self->{redis_proxy} = TenancyProxy->start(target => $redis->port, http => 0);
	my $node = $self->{node} = tenancy_node('torture', conf => <<"CONF");
tenancy.search_url = '${\$self->{search_proxy}->url}'
tenancy.redis_url = 'redis://127.0.0.1:${\$self->{redis_proxy}->port}/0'
tenancy.retry_max = 1s
tenancy.search_timeout = 4s
tenancy.bulk_actions = 200
tenancy.dirty_mem = 1MB
tenancy.ring_size = 64kB
tenancy.search_lanes = 3
max_prepared_transactions = 20
checkpoint_timeout = 30s
fsync = off
CONF
	$node->start;
	$node->safe_psql('postgres', setup_sql());
	return $self;
}

sub sql { my ($self, $query) = @_; return $self->{node}->safe_psql('postgres', $query) }

# One round: CARDS are done one after the other while rows flow.  Returns what is wrong, '' if nothing.
sub round
{
	my ($self, %option) = @_;
	my ($round, @cards) = (++$self->{round}, @{ $option{cards} });
	my $seed = "$self->{seed} $round";
	my $base = "$PostgreSQL::Test::Utils::tmp_check/round_$round";
	$self->{kept} = $self->fill;
	my $started = time;
	start_actors($self->{node}->connstr('postgres'), $base, $seed, $option{writers} // 3);
	my $dice = TenancyActors::dice("$seed chaos");
	for my $card (@cards)
	{
		my $hold = 0.3 + $dice->(10) / 10 * ($option{hold} // 2.7);
		$self->play($card, $hold, $dice->(1_000_000));
		sleep $hold;
		$self->{report}->("  $card");
	}
	sleep 0.1 until time >= $started + ($option{seconds} // 0);
	my $stopped = time;
	my $wrong = eval { $self->lift; my $chunks = stop_actors($base); $self->settle; $self->{report}->(sprintf 'round %d: %s: %d chunks in %.1f s', $round, join(', ', @cards), $chunks, time - $started); $self->check } // "died: $@";
	$self->{report}->(sprintf 'round %d: %s after %.1f s', $round, $wrong eq '' ? 'right' : 'WRONG', time - $stopped);
	return $wrong;
}

# Does what a card says; whatever must be undone is, at once or by lift.
sub play
{
	my ($self, $card, $hold, $number) = @_;
	my ($what, $how) = split / /, $card;
	my $node = $self->{node};
	if (my $fault = $what =~ /^(?:search|redis)$/ && $fault{$how})
	{
		my ($kind, @options) = @$fault;
		$self->{"${what}_proxy"}->fault($kind, share => 0.4, seed => $number, $what eq 'search' && $number % 2 ? (match => qr/_bulk/) : (), @options);
		if ($kind eq 'refuse') { sleep $hold; $self->{"${what}_proxy"}->clear($kind) }
	}
	elsif ($what eq 'kill' || $what eq 'end') { $self->end_worker($what eq 'kill' ? 'KILL' : 'TERM', $worker{$how}) }
	elsif ($card =~ /^(search|redis) dies$/) { $self->{$1}->kill9; sleep $hold; $self->{$1}->start }
	elsif ($card =~ /^(search|redis) hangs$/) { $self->{$1}->halt; sleep $hold + 2; $self->{$1}->cont }
	elsif ($card eq 'postmaster dies') { $node->kill9; $self->start_again }
	elsif ($card eq 'immediate') { $node->stop('immediate'); $self->start_again }
	elsif ($card eq 'restart') { $node->restart }
	elsif ($card eq 'slot goes') { $self->drop_slot }
	elsif ($what eq 'pause')
	{
		my $arguments = $how eq 'tenant' ? "'search', 't1'" : "'$how'";
		$self->{resume}{$arguments} = 1;
		eval { $self->sql("SELECT tenancy.pause($arguments)") };
	}
	else { die "no card $card\n" }
	return;
}

# A worker of a kind gets a signal, if there is one.
sub end_worker
{
	my ($self, $signal, $type) = @_;
	my @pids = eval { worker_pids($self->{node}, $type) };
	kill $signal, $pids[0] if @pids;
	return;
}

# Starts PostgreSQL once what is left of the one before has gone.
sub start_again
{
	my ($self) = @_;
	for (1 .. 120)
	{
		my ($pid) = split /\n/, eval { PostgreSQL::Test::Utils::slurp_file($self->{node}->data_dir . '/postmaster.pid') } // '';
		return if !($pid && kill(0, $pid)) && $self->{node}->start(fail_ok => 1);
		$self->{node}{_pid} = undef; # of the one that was found there, which would be taken for ours
		sleep 0.5;
	}
	die "PostgreSQL does not start again\n";
}

# Somebody drops the slot in a moment in which nobody reads it.
sub drop_slot
{
	my ($self) = @_;
	for (1 .. 50)
	{
		my $out = eval { $self->sql(q{SELECT pg_terminate_backend(active_pid, 2000) FROM pg_replication_slots WHERE active_pid IS NOT NULL;
			SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots; SELECT 'gone'}) };
		return if defined $out && $out =~ /gone/;
		sleep 0.05;
	}
	return;
}

# Everything is there again and nothing is in the way.
sub lift
{
	my ($self) = @_;
	$self->{"${_}_proxy"}->clear for qw(search redis);
	$self->start_again unless eval { $self->sql('SELECT 1') } || wait_until(sub { eval { $self->sql('SELECT 1') } }, 60);
	return;
}

# No sink and no tenant is paused, and no transaction is open: those that were prepared end, as their names say.
sub settle
{
	my ($self) = @_;
	wait_until(sub { eval { $self->sql('SELECT 1') } }, 60) or die "PostgreSQL does not answer\n";
	$self->sql("SELECT tenancy.resume($_)") for sort keys %{ delete $self->{resume} // {} };
	for my $gid (split /\n/, $self->sql('SELECT gid FROM pg_prepared_xacts ORDER BY gid'))
	{
		$self->sql(($gid =~ /[02468]$/ ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
	}
	return;
}

# Living tenants and their tables: [tenant, table, index type].
sub tables
{
	my ($self) = @_;
	return map { [ split /\|/ ] } split /\n/, $self->sql(q{SELECT t.name, s.table_name, s.index_type FROM tenancy.tenant t
		JOIN tenancy.sync_table s USING (blueprint) WHERE t.status = 'active' AND s.index_type IS NOT NULL ORDER BY t.id, 2});
}

# Everything that is wrong, '' if nothing is.
sub check
{
	my ($self) = @_;
	my $lsn = $self->sql('SELECT pg_current_wal_lsn()');
	my $started = time;
	my $ready = wait_until(sub { eval { sync_wait($self->{node}, 'postgres', 10) } }, 290);
	return "not in the sinks after 300 s\n" . $self->state unless $ready;
	my $waited = time - $started;
	my $wrong = join '', map { $self->check_table(@$_) } $self->tables;
	$self->{report}->(sprintf '  in the sinks after %.1f s, compared after %.1f s', $waited, time - $started);
	$wrong .= $self->check_letters . $self->check_indices . $self->check_cache . $self->check_slot($lsn) . $self->check_log . $self->check_verify;
	return $wrong eq '' ? '' : $wrong . $self->state;
}

# What the extension says of itself, for whoever looks into a failure.
sub state
{
	my ($self) = @_;
	my $text = "state:\n";
	for my $query ('SELECT * FROM tenancy.stat_sync', 'SELECT * FROM tenancy.resync', q{SELECT index_name, state, attempts, last_error FROM tenancy.search_index WHERE state <> 'ready'},
		'SELECT sink, count(*) FROM tenancy.backlog GROUP BY 1', 'SELECT slot_name, active, restart_lsn, confirmed_flush_lsn, pg_current_wal_lsn() FROM pg_replication_slots',
		q{SELECT pid, backend_type, state, wait_event, left(query, 90) FROM pg_stat_activity WHERE backend_type ~ 'tenancy|client'})
	{
		$text .= (eval { $self->sql($query) } // $@) . "\n";
	}
	return $text;
}

# The rows of a table against its index; rows that earned it may have no document, or an older one.
sub check_table
{
	my ($self, $tenant, $table, $type) = @_;
	my %earned = $table eq 'item' ? map { $_ => 1 } $self->earned($tenant) : ();
	my $found = eval { compare_index($self->{node}, 'postgres', $tenant, $table, $self->{search}, $type) };
	return "$tenant.$table: $@" unless $found;
	@{ $found->{missing} } = grep { !$earned{$_} } @{ $found->{missing} };
	@{ $found->{stale} } = grep { !$earned{ $_->{id} } } @{ $found->{stale} };
	$self->{rows} += $found->{checked};
	return '' unless grep { @{ $found->{$_} } } qw(missing ghost stale);
	return "$tenant.$table: " . TenancyCompare::summary($found);
}

# Keys of the rows of item whose documents must be refused.
sub earned
{
	my ($self, $tenant) = @_;
	return split /\n/, $self->sql("SELECT t.id FROM tenant_$tenant.item t WHERE " . earned_sql() . ' ORDER BY 1');
}

# The dead letters are those that the data earned.
sub check_letters
{
	my ($self) = @_;
	my @earned = sort map { my $tenant = $_; map { "search|$tenant|tenant_$tenant.item|$_|400" } $self->earned($tenant) }
	  map { $_->[0] } grep { $_->[1] eq 'item' } $self->tables;
	my @letters = sort split /\n/, $self->sql(q{SELECT d.sink, t.name, d.relation, array_to_string(d.key, ','), d.status
		FROM tenancy.dead_letter d LEFT JOIN tenancy.tenant t ON t.id = d.tenant_id});
	$self->{letters} += @letters;
	my %earned = map { $_ => 1 } @earned;
	my %letter = map { $_ => 1 } @letters;
	return join '', (map { "letter not earned: $_\n" } grep { !$earned{$_} } @letters), (map { "no letter: $_\n" } grep { !$letter{$_} } @earned);
}

# The server has the indices of the living tenants, and no other.
sub check_indices
{
	my ($self) = @_;
	my (@known, @there);
	my $same = wait_until(sub {
		@known = sort split /\n/, $self->sql('SELECT index_name FROM tenancy.search_index');
		@there = sort grep { !/^\./ } split /\n/, ($self->{search}->raw('GET', '/_cat/indices?h=index'))[1];
		my $wanted = scalar $self->tables;
		"@known" eq "@there" && @there == $wanted;
	}, 30);
	return $same ? '' : "indices: known @known\nthere @there\n";
}

# What is cached of a row, as SQL over t: its beginning tells what it was, its hash that it is another now.
my $cached = q{to_jsonb(left(t::text, 60) || ' ' || md5(t::text))};

# Values for the cache, stored while nothing happens; returns how many.  A TRUNCATE finds only what tenant_cache_set stored.
sub fill
{
	my ($self) = @_;
	my $n = 0;
	for my $tenant (steady_tenants())
	{
		my ($stored) = $self->sql(qq{BEGIN; SELECT tenant_use('$tenant');
			SELECT count(*) FILTER (WHERE tenant_cache_set('item:' || id, $cached)) FROM item t WHERE id <= 400; COMMIT}) =~ /(\d+)\s*$/;
		$n += $stored;
	}
	return $n;
}

# No cached value is of a row that has changed.
sub check_cache
{
	my ($self) = @_;
	my ($wrong, $keys) = ('', 0);
	for my $tenant (steady_tenants())
	{
		my %row = map { split /\|/, $_, 2 } split /\n/, $self->sql("SELECT id, $cached FROM tenant_$tenant.item t");
		my @keys = $self->{redis}->keys("tenant:$tenant:item:*");
		$keys += @keys;
		my @stale = grep { my ($id) = /(\d+)$/; ($row{$id} // '') ne $self->{redis}->cmd('GET', $_) } @keys;
		$wrong .= scalar(@stale) . " stale keys:\n" if @stale;
		$wrong .= "  $_ is " . $self->{redis}->cmd('GET', $_) . ', should be ' . ($row{ /(\d+)$/ ? $1 : 0 } // 'gone') . "\n" for splice @stale, 0, 5;
	}
	$self->{cached} += $keys;
	return $wrong;
}

# One slot, and it lets go of what is in the sinks; nothing waits in the tables.
sub check_slot
{
	my ($self, $lsn) = @_;
	my $query = "SELECT count(*), bool_and(active AND confirmed_flush_lsn >= '$lsn'), (SELECT count(*) FROM tenancy.backlog), (SELECT count(*) FROM tenancy.resync) FROM pg_replication_slots";
	my $got;
	return '' if wait_until(sub { ($got = $self->sql($query)) eq '1|t|0|0' }, 60);
	return "slots, confirmed, backlog, resync: $got\n";
}

# No process ended by a fault of its own.
sub check_log
{
	my ($self) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($self->{node}->logfile);
	my @bad = $log =~ /^(.*(?:PANIC:|TRAP:|was terminated by signal (?:4|6|7|8|11)\b|exited with exit code (?:[2-9]|1\d)).*)$/mg;
	# of children whose postmaster was killed
	@bad = grep { !/exit code 2$/ } @bad;
	my @core = glob $self->{node}->data_dir . '/core*';
	return join '', map { "$_\n" } @bad, @core;
}

# tenancy.verify() finds nothing but the rows that earned a letter.
sub check_verify
{
	my ($self) = @_;
	my $wrong = '';
	for my $line (split /\n/, $self->sql(q{SELECT tenant, relation, coalesce(missing + stale, -1), coalesce(ghost, -1), checked FROM tenancy.verify()}))
	{
		my ($tenant, $relation, $differ, $ghost) = split /\|/, $line;
		my $earned = $relation =~ /item$/ ? scalar(my @keys = $self->earned($tenant)) : 0;
		$wrong .= "verify: $line\n" if $ghost != 0 || $differ < 0 || $differ > $earned;
	}
	return $wrong;
}

# The most memory that each worker has had, in kB.
sub memory
{
	my ($self) = @_;
	my @text;
	for my $kind (sort keys %worker)
	{
		my ($pid) = worker_pids($self->{node}, $worker{$kind});
		my ($kb) = $pid ? PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^VmHWM:\s*(\d+)/m : ();
		push @text, "$kind " . ($kb // '?');
	}
	return join ', ', @text;
}

1;
