# The real servers of a test: TenancySearch, TenancyRedis, TenancyBouncer.
#
#   my $search = TenancySearch->start('elasticsearch7');   # or opensearch2, ..., security => 1
#   $search->url; $search->stop; $search->kill9; $search->start;   # again, same data, same port
#
# Every server lives in a folder below tmp_check and is ended when the test ends.

package TenancyServer;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use Time::HiRes qw(sleep);
use PostgreSQL::Test::Utils ();

my $scripts = abs_path(dirname(__FILE__) . '/../servers');
my $count = 0;
my @all;

# Runs a script of test/servers; dies with what it said if it fails.
sub run_script
{
	my ($name, @args) = @_;
	my $errors = "$PostgreSQL::Test::Utils::tmp_check/$name.err";
	open(my $saved, '>&', \*STDERR) or die $!;
	open(STDERR, '>', $errors) or die "$errors: $!";
	my $ok = open(my $pipe, '-|', "$scripts/$name", @args);
	open(STDERR, '>&', $saved) or die $!;
	die "$scripts/$name: $!" unless $ok;
	my $out = do { local $/; <$pipe> } // '';
	my $closed = close($pipe);
	die "$name @args failed: " . PostgreSQL::Test::Utils::slurp_file($errors) unless $closed;
	chomp $out;
	return $out;
}

# A port that is free now.
sub free_port { return run_script('free-port') }

# A new server object with its own folder and port, not started.
sub create
{
	my ($class, $kind, %self) = @_;
	my $dir = sprintf '%s/%s_%d', abs_path($PostgreSQL::Test::Utils::tmp_check), $kind, ++$count;
	make_path($dir);
	my $self = bless { dir => $dir, port => free_port(), %self }, $class;
	push @all, $self;
	return $self;
}

sub dir { return $_[0]{dir} }
sub port { return $_[0]{port} }
sub pid { return $_[0]{pid} }

# Path of a file with this line, for the *_auth_file settings.
sub secret_file
{
	my ($self, $line) = @_;
	my $path = "$self->{dir}/auth";
	open(my $file, '>', $path) or die "$path: $!";
	print $file "$line\n";
	close $file;
	chmod 0600, $path;
	return $path;
}

# Ends it in an orderly way.
sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	$self->cont if $self->{halted};
	run_script($self->stop_script, $self->{dir});
	delete $self->{pid};
	return;
}

# Ends it with SIGKILL and waits until it is gone.
sub kill9
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;
	kill 'KILL', $pid;
	for (1 .. 200)
	{
		last unless is_running($pid);
		sleep 0.05;
	}
	die "pid $pid is still there" if is_running($pid);
	unlink "$self->{dir}/pid";
	delete $self->{halted};
	return;
}

# Halts it: connections stay open and nothing answers.  cont lets it go on.
sub halt
{
	my ($self) = @_;
	kill 'STOP', $self->{pid};
	$self->{halted} = 1;
	return;
}

sub cont
{
	my ($self) = @_;
	kill 'CONT', $self->{pid};
	delete $self->{halted};
	return;
}

# There and not a zombie.
sub is_running
{
	my ($pid) = @_;
	open(my $status, '<', "/proc/$pid/status") or return 0;
	my ($state) = grep { /^State:/ } <$status>;
	return defined $state && $state !~ /^State:\s*[ZX]/;
}

END
{
	my $status = $?;
	for my $server (@all)
	{
		eval { $server->stop; 1 } or print STDERR $@;
	}
	$? = $status;
}

package TenancySearch;

use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP ();
our @ISA = ('TenancyServer');

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# True if the product can be had here: it is in the cache, or Maven and Java are there to fetch it.
sub available
{
	my ($class, $product) = @_;
	my $home = eval { TenancyServer::run_script('search-install', $product) };
	return defined $home && -e "$home/.complete";
}

# start(PRODUCT [, security => 1]) makes one; $search->start starts the same one again.
sub start
{
	my ($self, $product, %option) = @_;
	if (!ref $self)
	{
		$self = $self->create($product, product => $product, %option);
	}
	die "already running" if $self->{pid};
	$self->{pid} = TenancyServer::run_script(
		'search-start', $self->{product}, $self->{dir}, $self->{port},
		$self->{security} ? '--security' : ());
	return $self;
}

sub stop_script { return 'search-stop' }
sub ca_file { return "$_[0]{dir}/config/cert.pem" }

sub url
{
	my ($self) = @_;
	return ($self->{security} ? 'https' : 'http') . "://127.0.0.1:$self->{port}";
}

# Lines for postgresql.conf.
sub settings
{
	my ($self) = @_;
	my $conf = "tenancy.search_url = '" . $self->url . "'\n";
	if ($self->{security})
	{
		$conf .= "tenancy.search_auth_file = '" . $self->secret_file('admin:admin') . "'\n";
		$conf .= "tenancy.search_ca_file = '" . $self->ca_file . "'\n";
	}
	return $conf;
}

# (status, text) of a request; status 599: no answer.  body: text, or a reference that becomes JSON.
sub raw
{
	my ($self, $method, $path, $body) = @_;
	$body = $json->encode($body) if ref $body;
	return $self->raw_tls($method, $path, $body) if $self->{security};
	$self->{http} //= HTTP::Tiny->new(timeout => 60, proxy => undef, http_proxy => undef);
	my $type = $path =~ /_bulk\b/ ? 'application/x-ndjson' : 'application/json';
	my $reply = $self->{http}->request($method, $self->url . $path,
		{ defined $body ? (content => $body, headers => { 'Content-Type' => $type }) : () });
	return ($reply->{status}, $reply->{content});
}

# The same through curl, since Perl's own modules have no TLS.
sub raw_tls
{
	my ($self, $method, $path, $body) = @_;
	my $type = $path =~ /_bulk\b/ ? 'application/x-ndjson' : 'application/json';
	my @command = ('curl', '-sS', '--noproxy', '*', '--max-time', 60, '--cacert', $self->ca_file,
		'-u', 'admin:admin', '-X', $method, '-w', "\n%{http_code}", $self->url . $path);
	push @command, '-H', "Content-Type: $type", '--data-binary', '@-' if defined $body;
	my ($out, $errors);
	IPC::Run::run(\@command, '<', \($body // ''), '>', \$out, '2>', \$errors);
	return (599, $errors) unless $out =~ s/\n(\d+)\z//;
	return ($1 + 0 || 599, $out);
}

# (status, decoded reply) of a request.
sub request
{
	my ($self, @request) = @_;
	my ($status, $text) = $self->raw(@request);
	my $reply = eval { $json->decode($text) };
	return ($status, defined $reply ? $reply : $text);
}

# Makes what was written visible to searches.
sub refresh
{
	my ($self, $index) = @_;
	my ($status, $text) = $self->raw('POST', "/$index/_refresh");
	return $status == 200;
}

# Number of documents behind a name, undef if there is no such name.
sub count
{
	my ($self, $index) = @_;
	$self->refresh($index);
	my ($status, $reply) = $self->request('GET', "/$index/_count");
	return $status == 200 ? $reply->{count} : undef;
}

# Source of one document, undef if it is not there.
sub document
{
	my ($self, $index, $id) = @_;
	$id =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
	my ($status, $reply) = $self->request('GET', "/$index/_doc/$id");
	return $status == 200 ? $reply->{_source} : undef;
}

package TenancyRedis;

use strict;
use warnings;
use IO::Socket::INET;
our @ISA = ('TenancyServer');

sub available
{
	my ($class, $product) = @_;
	return ($product // 'redis') eq 'valkey' ? defined eval { TenancyServer::run_script('valkey-install') } : !system('command -v redis-server >/dev/null');
}

# start([password => ...] [product => 'valkey']) makes one; $redis->start starts it again, empty.
sub start
{
	my ($self, %option) = @_;
	$self = $self->create('redis', %option) unless ref $self;
	die "already running" if $self->{pid};
	delete $self->{socket};
	local $ENV{REDIS_SERVER} = ($self->{product} // '') eq 'valkey' ? TenancyServer::run_script('valkey-install') : '';
	$self->{pid} = TenancyServer::run_script('redis-start', $self->{dir}, $self->{port},
		$self->{password} // ());
	return $self;
}

sub stop_script { return 'redis-stop' }
sub url { return "redis://127.0.0.1:$_[0]{port}/0" }

# Lines for postgresql.conf.
sub settings
{
	my ($self) = @_;
	my $conf = "tenancy.redis_url = '" . $self->url . "'\n";
	$conf .= "tenancy.redis_auth_file = '" . $self->secret_file($self->{password}) . "'\n"
	  if defined $self->{password};
	return $conf;
}

# Sends one command and returns its reply: text, number, list or undef; dies on an error reply.
sub cmd
{
	my ($self, @words) = @_;
	if (!$self->{socket} || !$self->{socket}->connected)
	{
		$self->{socket} = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port},
			Timeout => 10) or die "Redis at $self->{port}: $!";
		$self->cmd('AUTH', $self->{password}) if defined $self->{password};
	}
	my $text = sprintf "*%d\r\n", scalar @words;
	for my $word (@words)
	{
		utf8::encode(my $bytes = $word);
		$text .= sprintf "\$%d\r\n%s\r\n", length $bytes, $bytes;
	}
	my $reply = eval { $self->{socket}->print($text); $self->read_reply };
	if (my $error = $@)
	{
		delete $self->{socket} unless $error =~ /^Redis says/;
		die $error;
	}
	return $reply;
}

sub read_reply
{
	my ($self) = @_;
	my $socket = $self->{socket};
	local $/ = "\r\n";
	my $line = <$socket>;
	die "Redis closed the connection\n" unless defined $line;
	chomp $line;
	my ($type, $rest) = $line =~ /^(.)(.*)$/s;
	return $rest if $type eq '+' || $type eq ':';
	die "Redis says: $rest\n" if $type eq '-';
	return undef if $rest == -1;
	return [ map { $self->read_reply } 1 .. $rest ] if $type eq '*';
	my $bytes = '';
	while (length $bytes < $rest + 2)
	{
		read($socket, $bytes, $rest + 2 - length $bytes, length $bytes)
		  or die "Redis closed the connection\n";
	}
	$bytes = substr $bytes, 0, $rest;
	utf8::decode($bytes);
	return $bytes;
}

# Every key that fits the pattern, sorted.
sub keys
{
	my ($self, $pattern) = @_;
	return sort @{ $self->cmd('KEYS', $pattern // '*') };
}

package TenancyBouncer;

use strict;
use warnings;
our @ISA = ('TenancyServer');

sub available { return !system('PATH=$PATH:/usr/sbin; command -v pgbouncer >/dev/null') }

# start(NODE [, 'pool_mode = session', ...]): a PgBouncer in front of the node, pooling by transaction.
sub start
{
	my ($self, $node, @lines) = @_;
	$self = $self->create('pgbouncer', node => $node, lines => \@lines) unless ref $self;
	die "already running" if $self->{pid};
	$self->{pid} = TenancyServer::run_script('pgbouncer-start', $self->{dir}, $self->{port},
		$self->{node}->port, $self->{node}->host, @{ $self->{lines} });
	return $self;
}

sub stop_script { return 'pgbouncer-stop' }

# Connection string of a database through it.
sub connstr
{
	my ($self, $database) = @_;
	return "host=127.0.0.1 port=$self->{port} dbname=$database user=postgres";
}

1;
