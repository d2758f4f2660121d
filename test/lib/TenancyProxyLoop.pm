# The process behind TenancyProxy: one select loop over clients, servers and the orders on standard input.

package TenancyProxyLoop;

use strict;
use warnings;
use Errno qw(EAGAIN EINTR EINPROGRESS);
use IO::Handle;
use IO::Socket::INET;
use JSON::PP ();
use List::Util qw(max min);
use Socket qw(:DEFAULT SO_REUSEPORT IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);
use TenancyProxyHttp;

my $json = JSON::PP->new->latin1->canonical->allow_nonref;
my $before = qr/^(?:reset|half_close|stall|delay)$/;
my %kinds = map { $_ => 1 } qw(status drop_reply reset half_close truncate stall delay refuse);
my ($config, $reserved, $listener, %connections, @faults, @seen, %count);
my ($next, $under_way, $orders, $control) = (0, 0, '');

# Serves until standard input ends.
sub main
{
	$SIG{PIPE} = $SIG{INT} = 'IGNORE';
	open($control, '+<&=', 0) or die "standard input: $!";
	bless $control, 'IO::Handle';
	$control->blocking(0);
	while (1)
	{
		my ($read, $write) = ('', '');
		vec($read, 0, 1) = 1;
		vec($read, fileno $listener, 1) = 1 if $listener;
		my @all = values %connections;
		$_->interest(\$read, \$write) for @all;
		my @wakes = grep { defined } map { $_->{wake} } @all;
		my $ready = grep { $_->{buffered} } @all;
		my $timeout = $ready ? 0 : @wakes ? max(0, min(@wakes) - time) : undef;
		my $n = select($read, $write, undef, $timeout);
		($read, $write) = ('', '') if $n < 0;
		if (vec($read, 0, 1)) { read_orders() or return }
		if ($listener && vec($read, fileno $listener, 1)) { accept_client() }
		$_->turn($read, $write) for @all;
	}
	return;
}

# Orders are lines of JSON; false once there will be none.
sub read_orders
{
	my $n = sysread $control, $orders, 65536, length $orders;
	return !defined $n && ($! == EAGAIN || $! == EINTR) unless $n;
	while ($orders =~ s/^([^\n]*)\n//)
	{
		my ($what, $data) = @{ $json->decode($1) };
		my $code = __PACKAGE__->can("order_$what");
		my $result = eval { $code->($data) };
		my $reply = $json->encode([ $@ eq '' ? undef : $@ =~ s/\n.*//sr, $result ]) . "\n";
		send_all($reply);
	}
	return 1;
}

# A reply to an order, however long.
sub send_all
{
	my ($text) = @_;
	while (length $text)
	{
		my $w = '';
		vec($w, 0, 1) = 1;
		select(undef, $w, undef, undef);
		my $n = send($control, $text, 0);
		exit 0 unless defined $n || $! == EAGAIN || $! == EINTR;
		substr($text, 0, $n // 0, '');
	}
	return;
}

# The first order: what TenancyProxy->start was given.
sub order_start
{
	($config) = @_;
	$reserved = bound_socket($config->{port} // 0);
	$config->{port} = $reserved->sockport;
	require IO::Socket::SSL if $config->{tls};
	open_listener();
	return $config->{port};
}

# One more fault; those before it come first.
sub order_fault
{
	my ($fault) = @_;
	die "no fault $fault->{kind}\n" unless $kinds{ $fault->{kind} };
	die "$fault->{kind} has no 'before'\n" if ($fault->{when} // '') eq 'before' && $fault->{kind} !~ $before;
	$fault->{match} = qr/$fault->{match}/ if defined $fault->{match};
	$fault->{state} = ($fault->{seed} // 1) & 0xffffffff;
	if ($fault->{kind} eq 'refuse')
	{
		$count{refuse}++;
		$count{faults}++;
		close $listener if $listener;
		undef $listener;
		$_->abort for ($fault->{connections} // '') eq 'reset' ? (my @all = values %connections) : ();
		return 1;
	}
	push @faults, $fault;
	return 1;
}

# Faults are lifted, and what they hold goes on.
sub order_clear
{
	my ($kind) = @_;
	@faults = defined $kind ? grep { $_->{kind} ne $kind } @faults : ();
	open_listener() if !$listener && (!defined $kind || $kind eq 'refuse');
	for (values %connections) { $_->{wake} = time if defined $_->{wake} || $_->{forever} }
	return 1;
}

# One number of what was seen.
sub order_count
{
	my ($what) = @_;
	return scalar grep { $_->{line} =~ $what->{match} } @seen if ref $what;
	return scalar @seen if $what eq 'requests';
	return scalar grep { $_->{gzip} } @seen if $what eq 'gzip';
	return scalar keys %connections if $what eq 'open';
	return $count{$what} // 0;
}

# What was seen, as a list.
sub order_requests
{
	my ($match) = @_;
	return [ grep { !defined $match || $_->{line} =~ $match } @seen ];
}

# A socket that has the port and does not listen: the port stays ours while it is refused.
sub bound_socket
{
	my ($port) = @_;
	socket(my $socket, PF_INET, SOCK_STREAM, getprotobyname('tcp')) or die "socket: $!\n";
	setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1) && setsockopt($socket, SOL_SOCKET, SO_REUSEPORT, 1)
	  or die "setsockopt: $!\n";
	bind($socket, pack_sockaddr_in($port, INADDR_LOOPBACK)) or die "bind: $!\n";
	return bless $socket, 'IO::Socket::INET';
}

# Listens, again after refuse.
sub open_listener
{
	$listener = bound_socket($config->{port});
	listen($listener, 128) or die "listen: $!\n";
	$listener->blocking(0);
	return;
}

# Takes every client that waits.
sub accept_client
{
	while (accept(my $client, $listener))
	{
		$client = bless $client, 'IO::Socket::INET';
		$client->blocking(0);
		setsockopt($client, IPPROTO_TCP, TCP_NODELAY, 1);
		my $connection = bless { id => ++$next, client => $client, to_client => '', to_server => '',
			from_client => '', from_server => '', steps => [] }, 'TenancyProxyLoop::Connection';
		$connection->start_tls if $config->{tls};
		$connections{$next} = $connection;
		$count{connections}++;
	}
	return;
}

# The fault that is to be done to a request, noted in the list of those seen.
sub choose_fault
{
	my ($request) = @_;
	my %entry = (line => $request->{line}, bytes => $request->{bytes}, gzip => $request->{gzip} ? 1 : 0);
	push @seen, \%entry;
	$request->{entry} = \%entry;
	$count{bytes} += $request->{bytes};
	for my $fault (@faults)
	{
		next if defined $fault->{match} && $request->{line} !~ $fault->{match};
		next if $request->{bytes} < ($fault->{min_bytes} // 0);
		next if defined $fault->{times} && $fault->{times} <= 0;
		next if defined $fault->{share} && draw($fault) >= $fault->{share};
		$fault->{times}-- if defined $fault->{times};
		$count{ $fault->{kind} }++;
		$count{faults}++;
		$entry{fault} = $fault->{kind};
		return $fault;
	}
	return;
}

# The next number of a fault's generator, from 0 to below 1.
sub draw
{
	my ($fault) = @_;
	$fault->{state} = ($fault->{state} * 1664525 + 1013904223) & 0xffffffff;
	return ($fault->{state} >> 8) / 2**24;
}

package TenancyProxyLoop::Connection;

use strict;
use warnings;
use Errno qw(EAGAIN EINTR EINPROGRESS);
use Socket qw(:DEFAULT SO_LINGER);
use Time::HiRes qw(time);

# The client has to begin with TLS.
sub start_tls
{
	my ($self) = @_;
	IO::Socket::SSL->start_SSL($self->{client}, SSL_server => 1, SSL_startHandshake => 0,
		SSL_cert_file => $config->{tls}{cert}, SSL_key_file => $config->{tls}{key});
	$self->{handshake} = 1;
	return;
}

# What the loop has to wait for.
sub interest
{
	my ($self, $read, $write) = @_;
	my ($client, $server) = @$self{qw(client server)};
	vec($$read, fileno $client, 1) = 1 unless $self->{client_eof};
	vec($$write, fileno $client, 1) = 1 if $self->{want_write} || (length $self->{to_client} && !$self->{handshake});
	if ($server)
	{
		vec($$read, fileno $server, 1) = 1 unless $self->{server_eof};
		vec($$write, fileno $server, 1) = 1 if length $self->{to_server};
	}
	return;
}

# Does what can be done now.
sub turn
{
	my ($self, $read, $write) = @_;
	my ($client, $server) = @$self{qw(client server)};
	return unless $connections{ $self->{id} };
	if ($self->{handshake})
	{
		return unless vec($read, fileno $client, 1) || vec($write, fileno $client, 1);
		$self->shake_hands or return;
		$self->read_client;
	}
	elsif ($self->{buffered} || vec($read, fileno $client, 1)) { $self->read_client }
	return unless $connections{ $self->{id} };
	$self->read_server if $server && vec($read, fileno $server, 1);
	$self->flush('server') if $connections{ $self->{id} } && length $self->{to_server};
	$self->run_steps if $connections{ $self->{id} };
	$self->flush('client') if $connections{ $self->{id} } && length $self->{to_client};
	$self->finish if $self->{ending} && !length $self->{to_client};
	return;
}

# One step of the TLS handshake; true once it is done.
sub shake_hands
{
	my ($self) = @_;
	$self->{want_write} = 0;
	$! = 0;
	if ($self->{client}->accept_SSL)
	{
		$self->{handshake} = 0;
		return 1;
	}
	if ($! == EAGAIN) { $self->{want_write} = IO::Socket::SSL::errstr() =~ /wants a write/ }
	else { $self->abort }
	return 0;
}

# What the client has to say, or that it went away.
sub read_client
{
	my ($self) = @_;
	$! = 0; # an error of TLS leaves it as it was
	my $n = sysread $self->{client}, $self->{from_client}, 262144, length $self->{from_client};
	if ($n)
	{
		$self->{buffered} = $config->{tls} && $self->{client}->pending ? 1 : 0;
		return $self->take_request;
	}
	$self->{buffered} = 0;
	return if !defined $n && ($! == EAGAIN || $! == EINTR);
	return $self->abort unless defined $n && $self->{under_way} && !$config->{tls};
	# the client only says that it has nothing more to say
	$self->{client_eof} = 1;
	return $self->abort if $self->{forever} || $self->{closed_half};
	return;
}

# The next request, if it is all there and none is under way.
sub take_request
{
	my ($self) = @_;
	return if $self->{request};
	my $request = $config->{http} ? TenancyProxyHttp::take_request($self) : TenancyProxyHttp::take_commands($self);
	return unless $request;
	$self->{request} = $request;
	$self->{under_way} = 1;
	$count{most} = $under_way if ++$under_way > ($count{most} // 0);
	if (defined $config->{require_auth} && ($request->{auth} // '') ne $config->{require_auth})
	{
		$count{unauthorized}++;
		$request->{code} = 401;
		return $self->plan([ send => TenancyProxyHttp::answer(401, ['WWW-Authenticate: Basic realm="proxy"'], '{"error":"unauthorized","status":401}') ], ['done']);
	}
	return $self->begin($request, TenancyProxyLoop::choose_fault($request));
}

# What is done before the server sees the request; the rest waits for its answer.
sub begin
{
	my ($self, $request, $fault) = @_;
	my $kind = $fault ? $fault->{kind} : '';
	if ($kind eq 'status')
	{
		$request->{entry}{status} = $fault->{code} // 503;
		return $self->plan([ send => TenancyProxyHttp::fault_answer($config->{http}, $fault, $request) ], ['done']);
	}
	if ($fault && ($fault->{when} // '') eq 'before')
	{
		return $self->plan([$kind], ['done']) if $kind eq 'reset' || $kind eq 'half_close';
		my $half = $kind eq 'stall' ? int(length($request->{text}) / 2) : 0;
		return $self->plan([ forward => substr $request->{text}, 0, $half ], [ wait => $fault->{ms} ], [ forward => substr $request->{text}, $half ]);
	}
	$self->{fault} = $fault if $fault;
	return $self->plan([ forward => $request->{text} ]);
}

# Adds steps, and begins if none is waited for.
sub plan
{
	my ($self, @steps) = @_;
	push @{ $self->{steps} }, @steps;
	return $self->run_steps;
}

# Goes through the plan until there is something to wait for.
sub run_steps
{
	my ($self) = @_;
	if (defined $self->{wake} && $self->{wake} <= time)
	{
		delete @$self{qw(wake forever)};
	}
	while (!defined $self->{wake} && !$self->{forever} && @{ $self->{steps} } && $connections{ $self->{id} })
	{
		my ($what, $data) = @{ shift @{ $self->{steps} } };
		$self->can("do_$what")->($self, $data);
	}
	return;
}

sub do_send { $_[0]{to_client} .= $_[1]; $_[0]->flush('client') unless $_[0]{handshake}; return }
sub do_close { $_[0]{ending} = 'close'; return }
sub do_reset { return $_[0]->abort }

# Nothing moves for that time, or for ever.
sub do_wait
{
	my ($self, $ms) = @_;
	if (defined $ms) { $self->{wake} = time + $ms / 1000 }
	else { $self->{forever} = 1 }
	return;
}

# To the server, which is connected to with the first bytes.
sub do_forward
{
	my ($self, $bytes) = @_;
	$self->{server} //= IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $config->{target}, Blocking => 0);
	return $self->abort unless $self->{server};
	$self->{to_server} .= $bytes;
	return;
}

# Nothing more will be said to the client, which is still listened to.
sub do_half_close
{
	my ($self) = @_;
	shutdown($self->{client}, 1);
	$self->{closed_half} = 1;
	push @{ $self->{steps} }, [ wait => undef ];
	return;
}

# A request is over, the next one may come.
sub do_done
{
	my ($self) = @_;
	$under_way-- if $self->{under_way};
	my $close = $self->{request} && $self->{request}{close};
	delete @$self{qw(request under_way)};
	return $self->do_close if $self->{client_eof} || $close;
	return $self->take_request;
}

# What the server has to say, or that it went away.
sub read_server
{
	my ($self) = @_;
	my $n = sysread $self->{server}, $self->{from_server}, 262144, length $self->{from_server};
	return if !defined $n && ($! == EAGAIN || $! == EINTR || $! == EINPROGRESS);
	$self->{server_eof} = 1 unless $n;
	my $reply = $config->{http} ? TenancyProxyHttp::take_reply($self, !$n) : TenancyProxyHttp::take_replies($self);
	$self->answer($reply) if $reply;
	# a server that goes away without an answer looks like that to the client
	$self->plan(['close']) if $self->{server_eof} && $connections{ $self->{id} };
	return;
}

# The server's answer, as the fault lets it through.
sub answer
{
	my ($self, $reply) = @_;
	my ($fault, $text) = ($self->{fault}, $reply->{text});
	my $kind = $fault ? $fault->{kind} : '';
	my $half = int(length($text) / 2);
	if ($self->{request} && $self->{request}{entry}) { $self->{request}{entry}{status} = $reply->{status} }
	$self->{request}{close} = 1 if $self->{request} && $reply->{close};
	delete $self->{fault};
	return $self->plan(['close']) if $kind eq 'drop_reply';
	return $self->plan([$kind]) if $kind eq 'reset' || $kind eq 'half_close';
	return $self->plan([ send => substr $text, 0, $half ], ['close']) if $kind eq 'truncate';
	return $self->plan([ send => substr $text, 0, $half ], [ wait => $fault->{ms} ], [ send => substr $text, $half ], ['done'])
	  if $kind eq 'stall';
	return $self->plan([ wait => $fault->{ms} ], [ send => $text ], ['done']) if $kind eq 'delay';
	return $self->plan([ send => $text ], ['done']);
}

# Writes what there is for one side.
sub flush
{
	my ($self, $side) = @_;
	my $buffer = "to_$side";
	while (length $self->{$buffer})
	{
		my $n = syswrite $self->{$side}, $self->{$buffer}, 65536;
		if (!defined $n)
		{
			return if $! == EAGAIN || $! == EINTR || $! == EINPROGRESS || $! == Errno::ENOTCONN;
			return $self->abort;
		}
		substr($self->{$buffer}, 0, $n, '');
	}
	return;
}

# Ends the connection in good order.
sub finish
{
	my ($self) = @_;
	return unless delete $connections{ $self->{id} };
	$under_way-- if $self->{under_way};
	if ($self->{client}->isa('IO::Socket::SSL') && !$self->{handshake}) { $self->{client}->close(SSL_no_shutdown => 0) }
	close $_ for grep { defined } @$self{qw(client server)};
	return;
}

# Ends it with RST on both sides.
sub abort
{
	my ($self) = @_;
	return unless delete $connections{ $self->{id} };
	$under_way-- if $self->{under_way};
	for my $socket (grep { defined } @$self{qw(server client)})
	{
		setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
		if ($socket->isa('IO::Socket::SSL')) { $socket->close(SSL_no_shutdown => 1, SSL_fast_shutdown => 1) }
		close $socket;
	}
	return;
}

1;
