# Checks JSON with a JSON schema: the words that our schemas have, and no others.

package TenancySchema;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();

our @EXPORT = qw(schema_errors);
my $json = JSON::PP->new->canonical->allow_nonref;

# Kind of a value, integer being one of its own.
sub kind
{
	my ($value) = @_;
	return 'object' if ref $value eq 'HASH';
	return 'array' if ref $value eq 'ARRAY';
	return 'boolean' if JSON::PP::is_bool($value);
	return 'null' unless defined $value;
	my $text = $json->encode($value);
	return $text =~ /^"/ ? 'string' : $text =~ /^-?\d+$/ ? 'integer' : 'number';
}

my %check = (
	type => sub { kind($_[0]) eq $_[1] ? () : 'is ' . kind($_[0]) . ", not $_[1]" },
	required => sub { map { exists $_[0]{$_} ? () : "has no $_" } @{ $_[1] } },
	minItems => sub { @{ $_[0] } < $_[1] ? 'has too few items' : () },
	minProperties => sub { keys %{ $_[0] } < $_[1] ? 'has too few members' : () },
	maxProperties => sub { keys %{ $_[0] } > $_[1] ? 'has too many members' : () },
	minimum => sub { $_[0] < $_[1] ? "is less than $_[1]" : () },
	pattern => sub { $_[0] =~ /$_[1]/ ? () : "is not like $_[1]" });

# What is wrong with a value, one text each; it is at a path.
sub errors_at
{
	my ($schema, $value, $path) = @_;
	my @errors = map { "$path $_" } $check{type}->($value, $schema->{type});
	return @errors if @errors;
	for my $word (sort grep { $_ ne 'type' } keys %$schema)
	{
		if ($check{$word}) { push @errors, map { "$path $_" } $check{$word}->($value, $schema->{$word}) }
		elsif ($word eq 'items') { push @errors, map { errors_at($schema->{items}, $value->[$_], "$path\[$_]") } 0 .. $#$value }
		elsif ($word eq 'properties' || $word eq 'additionalProperties') { next }
		else { die "$word is not known here" }
	}
	return @errors unless ref $value eq 'HASH';
	for my $name (sort keys %$value)
	{
		my $member = $schema->{properties}{$name} // $schema->{additionalProperties};
		if (ref $member eq 'HASH') { push @errors, errors_at($member, $value->{$name}, "$path.$name") }
		elsif (defined $member && !$member) { push @errors, "$path.$name is not known" }
	}
	return @errors;
}

# schema_errors(FILE, JSON TEXT): what is wrong with it, one line each.
sub schema_errors
{
	my ($file, $text) = @_;
	open(my $handle, '<', $file) or die "$file: $!";
	my $schema = $json->decode(do { local $/; <$handle> });
	return join "\n", errors_at($schema, $json->decode($text), '$');
}

1;
