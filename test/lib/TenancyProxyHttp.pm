# What the proxy must know of HTTP and of Redis' protocol: where a request or a reply ends.

package TenancyProxyHttp;

use strict;
use warnings;

# The next request of a connection once it is all there:
# { line => "METHOD path", text, bytes => of the body, gzip, auth, head => 1 for HEAD }.
sub take_request
{
	my ($connection) = @_;
	my $buffer = \$connection->{from_client};
	$$buffer =~ /\r\n\r\n/ or return;
	my $head = substr $$buffer, 0, $+[0];
	if ($head =~ /^Expect:\s*100-continue/mi && !$connection->{continued})
	{
		$connection->{continued} = 1;
		$connection->do_send("HTTP/1.1 100 Continue\r\n\r\n");
	}
	my $length = body_length($head, substr $$buffer, length $head) // return;
	my $text = substr $$buffer, 0, length($head) + $length, '';
	delete $connection->{continued};
	my ($method, $path) = $head =~ /^(\S+) (\S+)/;
	my %request = (line => "$method $path", bytes => $length, head => $method eq 'HEAD');
	$request{gzip} = $head =~ /^Content-Encoding:\s*gzip/mi;
	($request{auth}) = $head =~ /^Authorization:\s*([^\r\n]*)/mi;
	(my $forwarded = $head) =~ s/^(?:Expect|Authorization):[^\n]*\n//gmi;
	$request{text} = $forwarded . substr $text, length $head;
	return \%request;
}

# Length of the body behind a head, undef while it is not all there.
sub body_length
{
	my ($head, $rest) = @_;
	return chunked_length($rest) if $head =~ /^Transfer-Encoding:.*chunked/mi;
	my $length = $head =~ /^Content-Length:\s*(\d+)/mi ? $1 : 0;
	return length $rest >= $length ? $length : undef;
}

# The same of a body in chunks.
sub chunked_length
{
	my ($text) = @_;
	pos($text) = 0;
	while ($text =~ /\G([0-9a-fA-F]+)[^\r\n]*\r\n/gc)
	{
		my $size = hex $1;
		last if $size == 0;
		pos($text) + $size + 2 <= length $text or return;
		pos($text) = pos($text) + $size + 2;
	}
	return $text =~ /\G(?:[^\r\n]+\r\n)*\r\n/gc ? pos $text : undef;
}

# The server's answer once it is all there; what is not final (1xx) is left out.
sub take_reply
{
	my ($connection, $at_end) = @_;
	my $buffer = \$connection->{from_server};
	my $request = $connection->{request} or return;
	$$buffer =~ s/\AHTTP\/1\.[01] 1\d\d.*?\r\n\r\n//s;
	$$buffer =~ /\r\n\r\n/ or return;
	my $head = substr $$buffer, 0, $+[0];
	my ($status) = $head =~ /^HTTP\/1\.[01] (\d+)/;
	my $rest = length($$buffer) - length $head;
	my $empty = $request->{head} || $status == 204 || $status == 304;
	my $until_end = !$empty && $head !~ /^(?:Transfer-Encoding|Content-Length):/mi;
	return if $until_end && !$at_end;
	my $length = $empty ? 0 : $until_end ? $rest : body_length($head, substr $$buffer, length $head) // return;
	my $text = substr $$buffer, 0, length($head) + $length, '';
	return { text => $text, status => $status, close => ($until_end || $head =~ /^Connection:\s*close/mi ? 1 : 0) };
}

# Every whole command that a Redis client has sent so far, as one request.
sub take_commands
{
	my ($connection) = @_;
	my $buffer = \$connection->{from_client};
	my ($end, $n, @words) = (0, 0);
	while ($$buffer =~ /\G\*(\d+)\r\n/g)
	{
		my ($left, $whole) = ($1, 1);
		while ($left-- > 0)
		{
			$whole = $$buffer =~ /\G\$(\d+)\r\n/gc && pos($$buffer) + $1 + 2 <= length $$buffer or last;
			my $size = $1;
			push @words, substr $$buffer, pos $$buffer, $size if $n == 0;
			pos($$buffer) = pos($$buffer) + $size + 2;
		}
		last unless $whole;
		$end = pos $$buffer;
		$n++;
	}
	return unless $end;
	pos($$buffer) = undef;
	my $text = substr $$buffer, 0, $end, '';
	return { line => substr(join(' ', @words), 0, 300), text => $text, bytes => $end, commands => $n };
}

# Redis' answers to the commands under way, once they are all there.
sub take_replies
{
	my ($connection) = @_;
	my $buffer = \$connection->{from_server};
	my $request = $connection->{request} or return;
	my $end = 0;
	for (1 .. $request->{commands}) { $end = reply_end($$buffer, $end) // return }
	return { text => substr $$buffer, 0, $end, '' };
}

# Where the reply that begins at a position ends.
sub reply_end
{
	my ($text, $start) = @_;
	pos($text) = $start;
	$text =~ /\G([-+:\$*])([^\r]*)\r\n/g or return;
	my ($type, $number, $end) = ($1, $2, pos $text);
	return $end if $type !~ /[\$*]/ || $number < 0;
	if ($type eq '$')
	{
		$end += $number + 2;
		return $end <= length $text ? $end : undef;
	}
	for (1 .. $number) { $end = reply_end($text, $end) // return }
	return $end;
}

# What a fault of kind status says: for Redis the same line for every command.
sub fault_answer
{
	my ($http, $fault, $request) = @_;
	return join '', map { ($fault->{body} // '-LOADING Redis is loading the dataset in memory') . "\r\n" } 1 .. $request->{commands} unless $http;
	return answer($fault->{code} // 503, $fault->{headers}, $fault->{body} // '{"error":"the proxy says so"}', $request->{head});
}

# A whole HTTP answer.
sub answer
{
	my ($code, $headers, $body, $without_body) = @_;
	my @lines = ("HTTP/1.1 $code Proxy", @{ $headers // [] });
	push @lines, 'Content-Type: application/json' unless grep { /^Content-Type:/i } @lines;
	push @lines, 'Content-Length: ' . length $body;
	return join("\r\n", @lines) . "\r\n\r\n" . ($without_body ? '' : $body);
}

1;
