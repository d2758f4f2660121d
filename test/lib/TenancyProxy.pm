# A proxy on loopback before a real server, that does to requests and replies what networks and servers do on bad days.
#
#   my $proxy = TenancyProxy->start(target => $search->port, http => 1);
#   $proxy->fault('status', code => 429, headers => ['Retry-After: 1'], match => qr{/_bulk}, share => 0.3);
#   $proxy->fault('drop_reply', match => qr{/_bulk}, times => 2);
#   $proxy->count(qr{/_bulk}); $proxy->clear; $proxy->stop;
#
# start(target => PORT [, http => 0 for Redis] [, port => PORT] [, tls => { cert => FILE, key => FILE }]
#       [, require_auth => 'Basic xxx'])
#
# The proxy is a process of its own (TenancyProxyLoop), which ends with the one that started it.

package TenancyProxy;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IO::Handle;
use JSON::PP ();
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);

my $json = JSON::PP->new->latin1->canonical->allow_nonref;
my $here = abs_path(dirname(__FILE__));
my %running;

# Starts the process; its port is the same until stop.
sub start
{
	my ($class, %option) = @_;
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<&', $theirs) or POSIX::_exit(1);
		exec($^X, "-I$here", '-MTenancyProxyLoop', '-e', 'TenancyProxyLoop::main()') or POSIX::_exit(1);
	}
	close $theirs;
	$ours->autoflush(1);
	my $self = bless { control => $ours, pid => $pid, tls => $option{tls} ? 1 : 0 }, $class;
	$running{$pid} = $self;
	$self->{port} = $self->tell(start => { http => 1, %option });
	return $self;
}

# Sends one order and returns what it says; dies if it complains.
sub tell
{
	my ($self, $what, $data) = @_;
	my $control = $self->{control};
	print $control $json->encode([ $what, $data ]), "\n";
	my $line = readline $control;
	die "the proxy is gone\n" unless defined $line;
	my ($error, $result) = @{ $json->decode($line) };
	die "proxy: $error\n" if defined $error;
	return $result;
}

sub port { return $_[0]{port} }
sub pid { return $_[0]{pid} }
sub url { return ($_[0]{tls} ? 'https' : 'http') . "://127.0.0.1:$_[0]{port}" }

# fault(KIND [, match => qr/on "METHOD path" or a Redis command/] [, share => 0..1] [, seed => N] [, times => N]
#       [, min_bytes => of the body] ...)
#
#   status      answers itself: code (503), headers [lines], body; for Redis body is one error's line
#   drop_reply  the server gets the request, the client never its answer: the connection closes
#   reset       RST instead of an answer; when => 'before': the server never gets the request
#   half_close  the writing side to the client closes instead of an answer, the connection stays; when => 'before'
#   truncate    half of the answer, then the connection closes
#   stall       half of the answer, then nothing for ms (for ever if not given); when => 'before': of the request
#   delay       the answer comes ms later; when => 'before': the request does
#   refuse      nobody listens; connections => 'reset' ends those that there are too
#
# The first one that fits is done.  share is drawn from a generator of the fault's own.
sub fault
{
	my ($self, $kind, %option) = @_;
	$option{match} = "$option{match}" if defined $option{match};
	return $self->tell(fault => { %option, kind => $kind });
}

# Lifts every fault, or those of a kind; what was stalled goes on.
sub clear
{
	my ($self, $kind) = @_;
	return $self->tell(clear => $kind);
}

# count('requests' | 'connections' | 'open' | 'gzip' | 'bytes' | 'most' | 'unauthorized' | 'faults' | KIND | qr/request/):
# gzip: bodies that were; bytes: of bodies; open: connections now; most: requests that were under way at once.
sub count
{
	my ($self, $what) = @_;
	return $self->tell(count => ref $what ? { match => "$what" } : $what);
}

# requests([qr/request/]): what was seen, oldest first: [{ line, bytes, gzip, fault, status }].
sub requests
{
	my ($self, $match) = @_;
	return @{ $self->tell(requests => defined $match ? "$match" : undef) };
}

# Ends the process.
sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;
	delete $running{$pid};
	close delete $self->{control};
	waitpid $pid, 0;
	return;
}

END
{
	my $status = $?;
	$_->stop for values %running;
	$? = $status;
}

1;
