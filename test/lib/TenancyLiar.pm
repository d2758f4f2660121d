# A search server of a few lines that answers as a test wants: what no real one says.

package TenancyLiar;

use strict;
use warnings;
use IO::Socket::INET;

# start(CODE): CODE is called with the body of each request for /_search and returns a status and a text, or nothing for 404; it
# gets the socket too, and returns 'said' if it has answered by itself: the connection ends then.
sub start
{
	my ($class, $answer) = @_;
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 20, ReuseAddr => 1) or die $!;
	my $pid = fork // die $!;
	if ($pid == 0) { serve($socket, $answer); exit 0 }
	return bless { socket => $socket, pid => $pid }, $class;
}

sub url { return 'http://127.0.0.1:' . $_[0]{socket}->sockport }

# Ends it; nobody listens at its port then.
sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	close $self->{socket} if $self->{socket};
	return;
}

# A test that dies leaves none; $? is what the test ends with.
sub DESTROY { local $?; $_[0]->stop; return }

# Answers one connection after the other, each in a process of its own.
sub serve
{
	my ($socket, $answer) = @_;
	$SIG{CHLD} = 'IGNORE';
	while (my $client = $socket->accept)
	{
		next if fork;
		while (defined(my $line = <$client>))
		{
			my ($length, $path) = (0, $line);
			while (defined($line = <$client>) && $line !~ /^\r?\n$/) { $length = $1 if $line =~ /^content-length:\s*(\d+)/i }
			my $body = '';
			read($client, $body, $length) if $length;
			my ($status, $text) = $path =~ /_search/ ? $answer->($body, $client) : ();
			last if ($status // '') eq 'said';
			($status, $text) = (404, '{}') unless defined $status;
			printf $client "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", $status, length $text, $text;
		}
		exit 0;
	}
	return;
}

1;
